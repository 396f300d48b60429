import { type FormEvent, type KeyboardEvent, useEffect } from "react"
import type { TaskStore } from "./store"
import type { Task } from "./tasks"

/** The limits of the service, in characters. */
export const LONGEST_TITLE = 200
const LONGEST_DESCRIPTION = 1000

interface Props {
  store: TaskStore
  task: Task
  onClose: () => void
}

/** Edits a task in place. Enter saves, Escape cancels, and Shift+Enter begins a new line. */
export function Editor({ store, task, onClose }: Props) {
  useEffect(() => {
    store.setEdited(task, true)
    return () => store.setEdited(task, false)
  }, [store, task])

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const fields = new FormData(event.currentTarget)
    const [title, description] = ["title", "description"].map((name) =>
      String(fields.get(name)).replaceAll("\r\n", "\n").trim(),
    )
    if (!title) return
    store.edit(task, { title, description: description || null })
    onClose()
  }

  function onKeyDown(event: KeyboardEvent<HTMLFormElement>) {
    if (event.nativeEvent.isComposing) return // Enter and Escape belong to the input method
    if (event.key === "Escape") onClose()
    if (event.key !== "Enter" || event.shiftKey || event.target instanceof HTMLButtonElement) return
    event.preventDefault()
    event.currentTarget.requestSubmit()
  }

  return (
    <li className="row editor">
      <form onSubmit={submit} onKeyDown={onKeyDown}>
        <input
          name="title"
          aria-label="Title"
          defaultValue={task.title}
          autoComplete="off"
          autoFocus
          required
          onInput={limitTo(LONGEST_TITLE)}
        />
        <textarea
          name="description"
          aria-label="Description"
          placeholder="Description"
          defaultValue={task.description ?? ""}
          rows={2}
          onInput={limitTo(LONGEST_DESCRIPTION)}
        />
        <div className="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button className="primary">Save</button>
        </div>
      </form>
    </li>
  )
}

/** Makes the browser explain that a text is too long. `maxLength` would cut off what is pasted. */
export function limitTo(most: number) {
  return ({ currentTarget }: FormEvent<HTMLInputElement | HTMLTextAreaElement>) => {
    const { length } = [...currentTarget.value.trim()] // an emoji is one character
    const problem = `This has ${length} characters, and ${most} are possible.`
    currentTarget.setCustomValidity(length > most ? problem : "")
  }
}
