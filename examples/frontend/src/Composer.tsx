import type { FormEvent } from "react"
import { Icon } from "./Icon"
import type { View } from "./list"
import type { TaskStore } from "./store"

export function Composer({ store, view }: { store: TaskStore; view: View }) {
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const title = String(new FormData(event.currentTarget).get("title")).trim()
    event.currentTarget.reset()
    if (!title) return
    store.create({ title, description: null })
    // End a filter or a search that would hide the new task.
    if (view.status === "completed" || view.q)
      void store.list.load({ ...view, status: "all", q: "" })
  }

  return (
    <form className="composer" onSubmit={submit}>
      <input
        id="new-task"
        name="title"
        aria-label="New task"
        placeholder="What is to be done?"
        autoComplete="off"
        enterKeyHint="done"
        maxLength={200}
      />
      <button className="primary" aria-label="Add task">
        <Icon name="plus" />
      </button>
    </form>
  )
}
