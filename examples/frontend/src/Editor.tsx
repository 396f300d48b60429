import { type FormEvent, type KeyboardEvent, useRef } from "react"
import type { Text } from "./save-text"

interface Props {
  text: Text
  onSave: (text: Text) => void
  onCancel: () => void
}

/** Edits a task in place. Enter saves, Escape cancels, and Shift+Enter begins a new line. */
export function Editor({ text, onSave, onCancel }: Props) {
  const form = useRef<HTMLFormElement>(null)

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const fields = new FormData(event.currentTarget)
    const [title, description] = ["title", "description"].map((name) =>
      String(fields.get(name)).replaceAll("\r\n", "\n").trim(),
    )
    if (title) onSave({ title, description: description || null })
  }

  function onKeyDown(event: KeyboardEvent) {
    if (event.nativeEvent.isComposing) return // Enter and Escape belong to the input method
    if (event.key === "Escape") onCancel()
    if (event.key !== "Enter" || event.shiftKey || event.target instanceof HTMLButtonElement) return
    event.preventDefault()
    form.current!.requestSubmit()
  }

  return (
    <li className="row editor">
      <form ref={form} onSubmit={submit} onKeyDown={onKeyDown}>
        <input
          name="title"
          aria-label="Title"
          defaultValue={text.title}
          maxLength={200}
          autoComplete="off"
          autoFocus
          required
        />
        <textarea
          name="description"
          aria-label="Description"
          placeholder="Description"
          defaultValue={text.description ?? ""}
          maxLength={1000}
          rows={2}
        />
        <div className="buttons">
          <button type="button" onClick={onCancel}>
            Cancel
          </button>
          <button className="primary">Save</button>
        </div>
      </form>
    </li>
  )
}
