import type { FormEvent } from "react"
import { Account } from "./Account"
import { limitTo, LONGEST_TITLE } from "./Editor"
import { Icon } from "./Icon"
import { useValue } from "./observable"
import { Progress } from "./Progress"
import type { Session } from "./session"
import { Shortcuts } from "./Shortcuts"
import type { TaskStore } from "./store"
import { TaskList } from "./TaskList"
import { Toolbar } from "./Toolbar"

export function TasksPage({ user, store }: Session) {
  const shown = useValue(store.shown)
  return (
    <>
      <header>
        <h1>
          <img src="/icon.svg" alt="" width="28" height="28" /> Tasks
        </h1>
        {shown.saving && <p className="saving">Saving …</p>}
        <Account user={user} store={store} />
      </header>
      <main>
        <Progress counts={shown.counts} store={store} />
        <NewTask store={store} />
        <Toolbar store={store} shown={shown} />
        <TaskList store={store} shown={shown} />
      </main>
      <footer>
        <Shortcuts />
      </footer>
    </>
  )
}

function NewTask({ store }: { store: TaskStore }) {
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const title = String(new FormData(event.currentTarget).get("title")).trim()
    event.currentTarget.reset()
    if (!title) return
    store.create({ title, description: null })
    // End a filter or a search that would hide the new task.
    const { status, q } = store.list.view
    if (status === "completed" || q) void store.list.load({ status: "all", q: "" })
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
        onInput={limitTo(LONGEST_TITLE)}
      />
      <button className="primary" aria-label="Add task">
        <Icon name="plus" />
      </button>
    </form>
  )
}
