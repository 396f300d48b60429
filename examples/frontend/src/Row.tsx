import { type KeyboardEvent, memo, useEffect, useState } from "react"
import type { Text } from "./api"
import { Editor } from "./Editor"
import { focusOn, keepFocus } from "./focus"
import { Icon } from "./Icon"
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
  const id = `task-${task.id}`
  const focus = () => requestAnimationFrame(() => document.getElementById(id)?.focus())

  function close() {
    setBase(undefined)
    focus()
  }

  function choose(text: Text) {
    store.edit(task, text)
    focus()
  }

  function remove(element: Element) {
    keepFocus(element, () => store.remove(task, focus))
  }

  function onKeyDown(event: KeyboardEvent<HTMLElement>) {
    if (event.target !== document.getElementById(id)) return
    if (event.key === "Enter") setBase(task)
    else if (event.key === "Delete" || event.key === "Backspace") remove(event.currentTarget)
    else return
    event.preventDefault()
  }

  if (mine)
    return <Conflict id={id} versions={{ Yours: mine, "The other one": task }} choose={choose} />
  if (base) return <Editor store={store} task={base} onClose={close} />
  return (
    <li className={task.completed ? "row done" : "row"} onKeyDown={onKeyDown}>
      <label className="tick">
        <input
          id={id}
          type="checkbox"
          aria-label={task.title}
          checked={task.completed}
          onChange={({ target }) => keepFocus(target, () => store.tick(task, target.checked))}
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
        onClick={({ currentTarget }) => remove(currentTarget)}
      >
        <Icon name="trash" />
      </button>
    </li>
  )
})

interface ConflictProps {
  id: string
  versions: Record<string, Text>
  choose: (text: Text) => void
}

/** Offers both versions of a task that two tabs or devices have edited at the same time. */
function Conflict({ id, versions, choose }: ConflictProps) {
  // The row that had the focus is gone. Another field keeps it, because the user may be typing.
  useEffect(() => {
    if (document.activeElement === document.body) focusOn(document.getElementById(id))
  }, [id])
  return (
    <li id={id} className="row conflict">
      <p id={`${id}-question`}>This task was changed somewhere else too. Which version is right?</p>
      <div role="group" aria-labelledby={`${id}-question`}>
        {Object.entries(versions).map(([name, text]) => (
          <button key={name} className="version" onClick={() => choose(text)}>
            <span className="name">{name}</span>
            <span className="title">{text.title}</span>
            {text.description && <span className="description">{text.description}</span>}
          </button>
        ))}
      </div>
    </li>
  )
}
