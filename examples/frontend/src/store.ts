import { explain, hasCode, Overtaken, same, saveText, tasks, type Text } from "./api"
import { type Change, plus, withChange } from "./changes"
import { persist } from "./connection"
import { LoadedList } from "./list"
import { announce, dismissAll, notify } from "./notices"
import { Observable } from "./observable"
import { newKey, type Task } from "./tasks"

/** The state that the page shows. */
export type Shown = TaskStore["shown"]["value"]

const OPTIONS = { keepalive: true } // a request continues when the user leaves the page

/** The tasks of one user. It shows changes at once, and sends them to the service. */
export class TaskStore {
  readonly list = new LoadedList(() => this.#show())
  #changes: Change[] = []
  #conflicts = new Map<number, Text>() // the user's texts of tasks that were changed elsewhere too
  #queues = new Map<number, Promise<void>>()
  #ids = new Map<number, number>() // the service's ids of new tasks, by their ids on this page
  #lastId = 0
  #closed = false
  readonly shown = new Observable(this.#snapshot())

  create(text: Text): void {
    const created_at = new Date().toISOString()
    const task = { id: --this.#lastId, user_id: "", completed: false, created_at, updated_at: "" }
    const headers = { "Idempotency-Key": newKey() } // the same in every attempt
    announce(`Added ${text.title}`)
    this.#change({ id: task.id, created: { ...task, ...text } }, text.title, () =>
      tasks.create(text, { headers, ...OPTIONS }),
    )
  }

  tick({ id, title }: Task, completed: boolean): void {
    announce(`${title} is ${completed ? "completed" : "pending"}`)
    this.#change({ id, fields: { completed } }, title, (id) =>
      tasks.setCompleted(id, completed, OPTIONS),
    )
  }

  /** Keeps a task in the list while the user edits it. */
  setEdited({ id }: Task, edited: boolean): void {
    if (edited) this.list.edited.add(id)
    else this.list.edited.delete(id)
    this.#show()
  }

  /** Saves the text of a task, unless the text has changed since `base`. Ends a conflict. */
  edit(base: Task, text: Text): void {
    this.#conflicts = new Map(this.#conflicts)
    this.#conflicts.delete(base.id)
    this.#show()
    if (same(text, base)) return
    this.#change({ id: base.id, fields: text }, text.title, (id) =>
      saveText(id, base, text, OPTIONS),
    )
  }

  /** Deletes a task once the notice with the button to undo it is gone. */
  remove({ id, title, description }: Task, undone: () => void): void {
    const change: Change = { id, removed: true, held: true }
    const undo = () => {
      change.removed = false
      change.fields = { title, description }
      this.#show()
      undone()
    }
    const gone = new Promise<void>((closed) =>
      notify(`Deleted “${title}”`, { action: { label: "Undo", run: undo }, closed }),
    )
    this.#change(change, title, async (id) => {
      await gone
      if (!change.removed) return tasks.get(id) // another tab may have deleted it
      change.held = false
      this.#show()
      await tasks.remove(id, OPTIONS).catch((error) => {
        if (!hasCode(error, "TASK_NOT_FOUND")) throw error // it is deleted already
      })
    })
  }

  /** Deletes the completed tasks, after waiting for the changes that are being sent. */
  async clearCompleted(): Promise<void> {
    await this.saveAll()
    try {
      const { deleted } = await this.#send(() => tasks.clearCompleted(OPTIONS))
      notify(`Deleted ${deleted} completed ${deleted === 1 ? "task" : "tasks"}`)
    } catch (error) {
      if (!this.#closed) notify(explain(error), { kind: "problem" })
    }
    await this.list.refresh()
  }

  /** Sends the deletions that could still be undone, and waits for all changes. */
  async saveAll(): Promise<void> {
    dismissAll()
    await Promise.all(this.#queues.values())
  }

  /** Stops sending changes, because another user may be signed in now. */
  close(): void {
    dismissAll()
    this.#closed = true
    this.list.close()
  }

  /** Shows a change at once, and sends it after the earlier changes of the same task. */
  #change(change: Change, title: string, send: (id: number) => Promise<Task | void>): void {
    const { id } = change
    const before = this.#queues.get(id)
    const settled = (async () => {
      await before
      const result = await this.#send(() => send(this.#ids.get(id) ?? id))
      this.#confirm(change, result ?? undefined)
    })().catch((error) => this.#reject(change, title, error))
    this.#queues.set(id, settled)
    this.#changes = [...this.#changes, change]
    this.#show()
  }

  #send<T>(request: () => Promise<T>): Promise<T> {
    return persist(() => {
      if (this.#closed) throw new Error("Another user may be signed in.")
      return request()
    })
  }

  #confirm(change: Change, result: Task | undefined): void {
    const { id } = change
    // A new task keeps its id on this page, so that its row stays the same.
    const task = result && { ...result, id }
    if (change.created && result) {
      this.#ids.set(id, result.id)
      this.list.ids.set(result.id, id)
      this.list.add(task!)
    } else this.list.replace(id, task)
    this.#drop(change)
  }

  #reject(change: Change, title: string, error: unknown): void {
    this.#drop(change)
    if (this.#closed) return
    if (error instanceof Overtaken) this.#offerBoth(change, error.latest)
    else if (hasCode(error, "TASK_NOT_FOUND")) this.#offerAgain(change, title)
    else notify(`“${title}” was not saved. ${explain(error)}`, { kind: "problem" })
  }

  #offerBoth({ id, fields }: Change, latest: Task): void {
    this.#conflicts = new Map(this.#conflicts).set(id, fields as Text)
    this.list.replace(id, { ...latest, id })
    announce(`${latest.title} was changed somewhere else too. Choose a version.`)
    this.#show()
  }

  #offerAgain({ fields }: Change, title: string): void {
    void this.list.refresh() // more may have changed
    const run = () => this.create(fields as Text)
    const action = fields?.title ? { label: "Add it again", run } : undefined
    notify(`“${title}” was deleted somewhere else.`, { kind: "problem", action })
  }

  #drop(change: Change): void {
    this.#changes = this.#changes.filter((other) => other !== change)
    this.#show()
  }

  #show(): void {
    this.shown.value = this.#snapshot()
  }

  #snapshot() {
    const { known, rest, state, more, view, edited } = this.list
    const conflicts = this.#conflicts
    const isShown = ({ id, completed }: Task) =>
      view.status === "all" || completed === (view.status === "completed") || edited.has(id)
    const all = this.#changes.reduce(withChange, known)
    const counts = rest && plus(rest, all)
    const parts = inParts(all.filter(isShown), this.list.parts)
    // Whether the service has not confirmed a change yet.
    const saving = this.#changes.some((change) => !change.held)
    return { parts, counts, state, more, view, saving, conflicts }
  }
}

function inParts(tasks: Task[], parts: Map<number, number>): Map<number, Task[]> {
  let part = 0 // it only grows, because another title may move a task
  return Map.groupBy(tasks, ({ id }) => (part = Math.max(part, parts.get(id) ?? 0)))
}
