import { memo, useEffect, useRef } from "react"
import { announce } from "./notices"
import { Row } from "./Row"
import type { Shown, TaskStore } from "./store"
import type { Task } from "./tasks"

export function TaskList({ store, shown }: { store: TaskStore; shown: Shown }) {
  const { tasks, state, view, conflicts } = shown
  useAnnouncement(shown)
  return (
    <section aria-label="Tasks" aria-busy={state === "loading"}>
      <div id="tasks" className="card" hidden={tasks.length === 0}>
        {shown.parts.map((part, index) => (
          <Part key={index} store={store} tasks={part} conflicts={conflicts} />
        ))}
      </div>
      {state === "loading" && tasks.length === 0 && <Skeleton />}
      {state === "ready" && tasks.length === 0 && !shown.more && <Empty view={view} />}
      {state === "failed" && (
        <div className="empty" role="alert">
          <p>The tasks could not be loaded.</p>
          <button onClick={() => void store.list.refresh()}>Try again</button>
        </div>
      )}
      {shown.more && state === "ready" && <End store={store} shown={shown} />}
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
        <Row key={store.keyOf(task)} store={store} task={task} mine={conflicts.get(task.id)} />
      ))}
    </ul>
  )
}, isSame)

function isSame(a: PartProps, b: PartProps): boolean {
  const { length } = a.tasks
  if (a.conflicts !== b.conflicts || length !== b.tasks.length) return false
  return a.tasks.every((task, index) => task === b.tasks[index])
}

/** Loads the next page before the user reaches the end. */
function End({ store, shown }: { store: TaskStore; shown: Shown }) {
  const end = useRef<HTMLParagraphElement>(null)
  useEffect(() => {
    const observer = new IntersectionObserver(
      ([entry]) => entry?.isIntersecting && void store.list.loadMore(),
      { rootMargin: "1000px" },
    )
    observer.observe(end.current!)
    return () => observer.disconnect()
  }, [store, shown]) // check again after each change, because the end may still be near
  return (
    <p ref={end} className="end">
      Loading more …
    </p>
  )
}

function Empty({ view }: { view: Shown["view"] }) {
  const [title, text] = view.q
    ? [`Nothing contains “${view.q}”`, "Try fewer letters, or another filter."]
    : view.status === "completed"
      ? ["Nothing is completed yet", "Tasks that you complete appear here."]
      : view.status === "pending"
        ? ["All done", "Enjoy it, or add the next task."]
        : ["No tasks yet", "Write your first one above."]
  return (
    <div className="empty">
      <p>{title}</p>
      <p>{text}</p>
    </div>
  )
}

/** Has the height of rows, so that nothing moves when the tasks appear. */
function Skeleton() {
  return (
    <ul className="card skeleton" aria-hidden="true">
      {[60, 45, 75, 50].map((width) => (
        <li key={width}>
          <span style={{ width: `${width}%` }} />
        </li>
      ))}
    </ul>
  )
}

/** Announces how many tasks there are after a filter or a search. */
function useAnnouncement({ state, view, tasks, more }: Shown) {
  const said = useRef(view)
  useEffect(() => {
    if (state !== "ready" || said.current === view) return
    said.current = view
    announce(`${tasks.length}${more ? " or more" : ""} tasks`)
  }, [state, view])
}
