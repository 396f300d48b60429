import { type KeyboardEvent, memo, useState } from "react"
import { Conflict } from "./Conflict"
import { Editor } from "./Editor"
import { focusOn, neighbour } from "./focus"
import { Icon } from "./Icon"
import type { Text } from "./save-text"
import type { TaskStore } from "./store"
import type { Task } from "./tasks"

interface Props {
  store: TaskStore
  task: Task
  /** The user's text, if the task was changed somewhere else too. */
  mine: Text | undefined
}

/** A task. It is rendered again only if it has changed, because there may be thousands. */
export const Row = memo(function Row({ store, task, mine }: Props) {
  const [base, setBase] = useState<Task>() // as the task was when the user began to edit it
  const id = `task-${store.keyOf(task)}`
  const focus = () => requestAnimationFrame(() => document.getElementById(id)?.focus())

  function close() {
    setBase(undefined)
    focus()
  }

  function remove(row: Element) {
    const next = neighbour(row, 1) ?? neighbour(row, -1)
    store.remove(task, focus)
    if (next) focusOn(next)
    else document.getElementById("new-task")?.focus()
  }

  function onKeyDown(event: KeyboardEvent<HTMLElement>) {
    if (event.target !== document.getElementById(id)) return
    if (event.key === "Enter") setBase(task)
    else if (event.key === "Delete" || event.key === "Backspace") remove(event.currentTarget)
    else return
    event.preventDefault()
  }

  if (mine) return <Conflict id={id} store={store} theirs={task} mine={mine} focus={focus} />
  if (base)
    return (
      <Editor
        text={base}
        onCancel={close}
        onSave={(text) => {
          store.edit(base, text)
          close()
        }}
      />
    )
  return (
    <li className={task.completed ? "row done" : "row"} onKeyDown={onKeyDown}>
      <label className="tick">
        <input
          id={id}
          type="checkbox"
          aria-label={task.title}
          checked={task.completed}
          onChange={(event) => store.tick(task, event.target.checked)}
        />
      </label>
      <button className="text" onClick={() => setBase(task)}>
        <span className="hidden">Edit </span>
        <span className="title">{task.title}</span>
        {task.description && <span className="description">{task.description}</span>}
      </button>
      <button
        className="delete"
        aria-label={`Delete ${task.title}`}
        onClick={(event) => remove(event.currentTarget.closest("li")!)}
      >
        <Icon name="trash" />
      </button>
    </li>
  )
})
