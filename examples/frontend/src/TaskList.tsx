import { memo } from "react"
import { Row } from "./Row"
import type { Shown, TaskStore } from "./store"
import type { Task } from "./tasks"

const EMPTY = {
  all: "No tasks yet",
  pending: "All done",
  completed: "Nothing is completed yet",
}

export function TaskList({ store, shown }: { store: TaskStore; shown: Shown }) {
  const { parts, state, more, view, conflicts } = shown
  const isEmpty = parts.size === 0
  return (
    <section aria-label="Tasks" aria-busy={state === "loading"}>
      <div id="tasks" className="card" hidden={isEmpty}>
        {[...parts].map(([part, tasks]) => (
          <Part key={part} store={store} tasks={tasks} conflicts={conflicts} />
        ))}
      </div>
      {state === "loading" && isEmpty && <p className="end">Loading …</p>}
      {state === "ready" && isEmpty && !more && (
        <p className="empty">{view.q ? `Nothing contains “${view.q}”` : EMPTY[view.status]}</p>
      )}
      {state === "failed" && (
        <div className="empty" role="alert">
          <p>The tasks could not be loaded.</p>
          <button onClick={() => void store.list.refresh()}>Try again</button>
        </div>
      )}
      {state === "ready" && more && <End store={store} />}
    </section>
  )
}

interface PartProps {
  store: TaskStore
  tasks: Task[]
  conflicts: Shown["conflicts"]
}

/** A part of the list. It is rendered again only if one of its tasks has changed. */
const Part = memo(function Part({ store, tasks, conflicts }: PartProps) {
  return (
    <ul>
      {tasks.map((task) => (
        <Row key={task.id} store={store} task={task} mine={conflicts.get(task.id)} />
      ))}
    </ul>
  )
}, isSame)

function isSame(a: PartProps, b: PartProps): boolean {
  if (a.conflicts !== b.conflicts || a.tasks.length !== b.tasks.length) return false
  return a.tasks.every((task, index) => task === b.tasks[index])
}

/** Loads the next page before the user reaches the end. */
function End({ store }: { store: TaskStore }) {
  // The observer begins again after each change, because the end may still be near.
  function observe(end: HTMLParagraphElement) {
    // A busy browser reports several steps at once.
    const load = (steps: IntersectionObserverEntry[]) =>
      steps.at(-1)!.isIntersecting && void store.list.loadMore()
    const observer = new IntersectionObserver(load, { rootMargin: "1000px" })
    observer.observe(end)
    return () => observer.disconnect()
  }

  return (
    <p ref={observe} className="end">
      Loading more …
    </p>
  )
}
