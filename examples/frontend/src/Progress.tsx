import { useState } from "react"
import { Dialog } from "./Dialog"
import type { TaskStats } from "./tasks"

interface Props {
  counts: TaskStats | undefined
  onClear: () => void
}

/** Shows how many tasks are completed, and a button to delete those. */
export function Progress({ counts, onClear }: Props) {
  const [asking, setAsking] = useState(false)
  const { total, completed } = counts ?? { total: 0, completed: 0 }
  const number = `${completed} completed ${completed === 1 ? "task" : "tasks"}`

  return (
    <section className="progress" aria-label="Progress">
      <p>{counts ? sentence(counts) : "\u00a0"}</p>
      <button className="quiet" hidden={completed === 0} onClick={() => setAsking(true)}>
        Clear completed
      </button>
      <progress aria-label="Tasks done" max={total || 1} value={completed} />
      {asking && (
        <Dialog title={`Delete ${number}?`} onClose={() => setAsking(false)}>
          <p>This can’t be undone.</p>
          <div className="buttons">
            <button autoFocus onClick={() => setAsking(false)}>
              Cancel
            </button>
            <button
              className="danger"
              onClick={() => {
                setAsking(false)
                onClear()
              }}
            >
              Delete {number}
            </button>
          </div>
        </Dialog>
      )}
    </section>
  )
}

function sentence({ total, completed }: TaskStats): string {
  if (total === 0) return "Nothing to do"
  if (total === completed) return `All ${total} done`
  return `${completed} of ${total} done`
}
