import { type KeyboardEvent, useEffect, useRef, useState } from "react"
import { Icon } from "./Icon"
import type { View } from "./list"
import type { TaskStats } from "./tasks"

const FILTERS = { all: "All", pending: "Pending", completed: "Completed" } as const
const PAUSE = 250 // milliseconds after the last keystroke

interface Props {
  view: View
  counts: TaskStats | undefined
  onChange: (view: View) => void
}

export function Toolbar({ view, counts, onChange }: Props) {
  const counted = { all: counts?.total, pending: counts?.pending, completed: counts?.completed }
  return (
    <div className="toolbar">
      <div className="filters" role="radiogroup" aria-label="Show">
        {(Object.keys(FILTERS) as (keyof typeof FILTERS)[]).map((status) => (
          <label key={status}>
            <input
              type="radio"
              name="status"
              checked={view.status === status}
              onChange={() => onChange({ ...view, status })}
            />
            <span>{FILTERS[status]}</span> <span className="number">{counted[status]}</span>
          </label>
        ))}
      </div>
      <Search view={view} onChange={onChange} />
      <select
        aria-label="Sort"
        value={view.sort}
        onChange={({ target }) => onChange({ ...view, sort: target.value as View["sort"] })}
      >
        <option value="created">Newest first</option>
        <option value="title">By title</option>
      </select>
    </div>
  )
}

/** Searches when the user stops typing. Escape ends the search. */
function Search({ view, onChange }: Omit<Props, "counts">) {
  const [text, setText] = useState(view.q)
  const latest = useRef({ view, onChange })
  useEffect(() => {
    latest.current = { view, onChange }
  })
  useEffect(() => setText(view.q), [view.q])
  useEffect(() => {
    const q = text.trim()
    if (q === latest.current.view.q) return
    const search = () => latest.current.onChange({ ...latest.current.view, q })
    const timer = setTimeout(search, PAUSE)
    return () => clearTimeout(timer)
  }, [text])

  function onKeyDown(event: KeyboardEvent<HTMLInputElement>) {
    if (event.key !== "Escape") return
    setText("")
    event.currentTarget.blur()
  }

  return (
    <label className="search">
      <Icon name="search" />
      <input
        id="search"
        type="search"
        aria-label="Search"
        placeholder="Search"
        maxLength={200}
        value={text}
        onChange={({ target }) => setText(target.value)}
        onKeyDown={onKeyDown}
      />
    </label>
  )
}
