import { type KeyboardEvent, useEffect, useRef } from "react"
import { Icon } from "./Icon"
import type { Shown, TaskStore } from "./store"
import type { View } from "./view"

const PAUSE = 250 // milliseconds after the last keystroke

export function Toolbar({ store, shown }: { store: TaskStore; shown: Shown }) {
  const { view, counts } = shown
  const show = (change: Partial<View>) => void store.list.load(change)
  const filters = [
    ["all", "All", counts?.total],
    ["pending", "Pending", counts && counts.total - counts.completed],
    ["completed", "Completed", counts?.completed],
  ] as const
  return (
    <div className="toolbar">
      <div className="filters" role="radiogroup" aria-label="Show">
        {filters.map(([status, name, count]) => (
          <label key={status}>
            <input
              type="radio"
              name="status"
              checked={view.status === status}
              onChange={() => show({ status })}
            />
            <span>{name}</span> <span className="number">{count}</span>
          </label>
        ))}
      </div>
      <Search q={view.q} onChange={(q) => show({ q })} />
      <select
        aria-label="Sort"
        value={view.sort}
        onChange={({ target }) => show({ sort: target.value as View["sort"] })}
      >
        <option value="created">Newest first</option>
        <option value="title">By title</option>
      </select>
    </div>
  )
}

/** Searches when the user stops typing. Escape ends the search. */
function Search({ q, onChange }: { q: string; onChange: (q: string) => void }) {
  const field = useRef<HTMLInputElement>(null)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)

  function search(pause: number) {
    clearTimeout(timer.current)
    timer.current = setTimeout(() => onChange(field.current!.value.trim()), pause)
  }

  function onKeyDown({ key, currentTarget }: KeyboardEvent<HTMLInputElement>) {
    if (key !== "Escape") return
    currentTarget.value = ""
    currentTarget.blur()
    search(0)
  }

  // The search may also begin with the address, and end with a new task.
  useEffect(() => {
    if (field.current!.value.trim() !== q) field.current!.value = q
    return () => clearTimeout(timer.current)
  }, [q])

  return (
    <label className="search">
      <Icon name="search" />
      <input
        ref={field}
        id="search"
        type="search"
        aria-label="Search"
        placeholder="Search"
        maxLength={200}
        onChange={() => search(PAUSE)}
        onKeyDown={onKeyDown}
      />
    </label>
  )
}
