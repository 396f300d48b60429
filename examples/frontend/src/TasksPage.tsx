import { useEffect, useState } from "react"
import { Account } from "./Account"
import { Composer } from "./Composer"
import { trouble } from "./connection"
import { Progress } from "./Progress"
import { Shortcuts, useShortcuts } from "./Shortcuts"
import { TaskList } from "./TaskList"
import { Toolbar } from "./Toolbar"
import { useValue } from "./observable"
import type { User } from "./session"
import type { TaskStore } from "./store"
import { keepView, viewOfAddress } from "./view-address"

export function TasksPage({ user, store }: { user: User; store: TaskStore }) {
  const shown = useValue(store.shown)
  const [help, setHelp] = useState(false)
  useShortcuts(() => setHelp(true))
  useFreshness(store)

  useEffect(() => void store.list.load(viewOfAddress()), [store])
  useEffect(() => keepView(shown.view), [shown.view])

  return (
    <>
      <header>
        <h1>
          <img src="/icon.svg" alt="" width="28" height="28" /> Tasks
        </h1>
        {shown.saving && <p className="saving">Saving …</p>}
        <Account user={user} total={shown.counts?.total} />
      </header>
      <main>
        <Progress counts={shown.counts} onClear={() => void store.clearCompleted()} />
        <Composer store={store} view={shown.view} />
        <Toolbar view={shown.view} counts={shown.counts} onChange={(view) => store.list.load(view)} />
        <TaskList store={store} shown={shown} />
      </main>
      <footer>
        <button className="link" onClick={() => setHelp(true)}>
          Keyboard shortcuts <kbd>?</kbd>
        </button>
      </footer>
      {help && <Shortcuts onClose={() => setHelp(false)} />}
    </>
  )
}

/** Reloads the list when the user returns to the page, and asks before unsaved changes are lost. */
function useFreshness(store: TaskStore) {
  useEffect(() => {
    const refresh = () => {
      if (document.visibilityState === "visible" && !trouble.value) void store.list.refresh()
    }
    const ask = (event: BeforeUnloadEvent) => {
      if (trouble.value && store.shown.value.saving) event.preventDefault()
    }
    window.addEventListener("focus", refresh)
    document.addEventListener("visibilitychange", refresh)
    window.addEventListener("beforeunload", ask)
    return () => {
      window.removeEventListener("focus", refresh)
      document.removeEventListener("visibilitychange", refresh)
      window.removeEventListener("beforeunload", ask)
    }
  }, [store])
}
