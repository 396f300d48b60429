import { useState } from "react"
import type { Counts } from "./changes"
import { Dialog } from "./Dialog"
import { Form } from "./Form"
import type { TaskStore } from "./store"

/** Shows how many tasks are completed, and a button to delete those. */
export function Progress({ counts, store }: { counts: Counts | undefined; store: TaskStore }) {
  const [isAsking, setAsking] = useState(false)
  const close = () => setAsking(false)
  const { total, completed } = counts ?? { total: 0, completed: 0 }
  const number = `${completed} completed ${completed === 1 ? "task" : "tasks"}`

  async function clear() {
    close()
    void store.clearCompleted()
    return undefined
  }

  return (
    <section className="progress" aria-label="Progress">
      <p>{total ? `${completed} of ${total} done` : counts ? "Nothing to do" : "\u00a0"}</p>
      <button className="quiet" hidden={completed === 0} onClick={() => setAsking(true)}>
        Clear completed
      </button>
      <progress aria-label="Tasks done" max={total || 1} value={completed} />
      {isAsking && (
        <Dialog title={`Delete ${number}?`} onClose={close}>
          <p>This can’t be undone.</p>
          <Form action={`Delete ${number}`} send={clear} onCancel={close} />
        </Dialog>
      )}
    </section>
  )
}
