import { explain, hasCode, tasks } from "./api"
import { type Change, countsWith, withChanges } from "./changes"
import { persist } from "./connection"
import { LoadedList, type View } from "./list"
import { announce, dismissAll, notify } from "./notices"
import { Observable } from "./observable"
import { Overtaken, saveText, type Text } from "./save-text"
import { newKey, type Task, type TaskStats } from "./tasks"

/** The state that the page shows. */
export interface Shown {
  tasks: Task[]
  parts: Task[][]
  counts: TaskStats | undefined
  state: LoadedList["state"]
  more: boolean
  view: View
  /** Whether there are changes that the service has not confirmed yet. */
  saving: boolean
  /** The user's texts for tasks that were also changed somewhere else, by the id of the task. */
  conflicts: Map<number, Text>
}

class Withdrawn extends Error {}

const OPTIONS = { keepalive: true } // a request continues when the user leaves the page

/** The tasks of one user. It shows changes at once, and sends them to the service. */
export class TaskStore {
  readonly list = new LoadedList(() => this.#show())
  #changes: Change[] = []
  #conflicts = new Map<number, Text>()
  #queues = new Map<number, Promise<void>>()
  #ids = new Map<number, number>() // from the temporary id of a new task to the service's id
  #keys = new Map<number, number>() // and back
  #lastId = 0
  #closed = false
  readonly shown = new Observable(this.#snapshot())

  create(text: Text): void {
    const created_at = new Date().toISOString()
    const task = { id: --this.#lastId, user_id: "", completed: false, created_at, updated_at: "" }
    const headers = { "Idempotency-Key": newKey() } // the same in every attempt
    announce(`Added ${text.title}`)
    void this.#change({ id: task.id, created: { ...task, ...text } }, text.title, () =>
      tasks.create(text, { headers, ...OPTIONS }),
    )
  }

  tick({ id, title }: Task, completed: boolean): void {
    announce(`${title} is ${completed ? "completed" : "pending"}`)
    void this.#change({ id, fields: { completed } }, title, (id) =>
      tasks.setCompleted(id, completed, OPTIONS),
    )
  }

  /** Saves the text of a task, unless the text has changed since `base`. */
  edit(base: Task, text: Text): void {
    this.resolve(base.id)
    if (text.title === base.title && text.description === base.description) return
    void this.#change({ id: base.id, fields: text }, text.title, (id) =>
      saveText(id, base, text, OPTIONS),
    )
  }

  /** Ends the choice between two versions. */
  resolve(id: number): void {
    if (!this.#conflicts.has(id)) return
    this.#conflicts = new Map([...this.#conflicts].filter(([other]) => other !== id))
    this.#show()
  }

  /** Deletes a task once the notice with the button to undo it is gone. */
  remove({ id, title }: Task, undone: () => void): void {
    const change: Change = { id, removed: true, held: true }
    let withdrawn = false
    const undo = () => {
      withdrawn = true
      this.#drop(change)
      undone()
    }
    const gone = new Promise<void>((closed) =>
      notify(`Deleted “${title}”`, { action: { label: "Undo", run: undo }, closed }),
    )
    void this.#change(change, title, async (id) => {
      await gone
      if (withdrawn) throw new Withdrawn()
      change.held = false
      this.#show()
      await tasks.remove(id, OPTIONS).catch((error) => {
        if (!hasCode(error, "TASK_NOT_FOUND")) throw error // it is deleted already
      })
    })
  }

  /** Deletes the completed tasks, after waiting for the changes that are being sent. */
  async clearCompleted(): Promise<void> {
    dismissAll()
    await Promise.all(this.#queues.values())
    try {
      const { deleted } = await this.#send(() => tasks.clearCompleted(OPTIONS))
      notify(`Deleted ${deleted} completed ${deleted === 1 ? "task" : "tasks"}`)
    } catch (error) {
      if (!(error instanceof Withdrawn)) notify(explain(error), { kind: "problem" })
    }
    await this.list.refresh()
  }

  /** Returns a key that stays the same when a new task receives its id. */
  keyOf({ id }: Task): number {
    return this.#keys.get(id) ?? id
  }

  /** Stops sending changes, because another user may be signed in now. */
  close(): void {
    dismissAll()
    this.#closed = true
    this.list.close()
  }

  /** Shows a change at once, and sends it after the earlier changes of the same task. */
  async #change(
    change: Change,
    title: string,
    send: (id: number) => Promise<Task | void>,
  ): Promise<void> {
    change.id = this.#ids.get(change.id) ?? change.id
    const before = this.#queues.get(change.id)
    const settled = (async () => {
      await before
      const result = await this.#send(() => send(change.id))
      this.#confirm(change, result ?? undefined)
    })().catch((error) => this.#reject(change, title, error))
    this.#queues.set(change.id, settled)
    this.#changes = [...this.#changes, change]
    this.#show()
    await settled
    if (this.#queues.get(change.id) === settled) this.#queues.delete(change.id)
  }

  #send<T>(request: () => Promise<T>): Promise<T> {
    return persist(() => {
      if (this.#closed) throw new Withdrawn()
      return request()
    })
  }

  #confirm(change: Change, result: Task | undefined): void {
    if (change.created && result) {
      this.list.add(result)
      this.#rename(change.id, result.id)
    } else this.list.replace(change.id, result)
    this.#drop(change)
  }

  /** Gives a new task its id from the service, in its unsent changes too. */
  #rename(from: number, to: number): void {
    this.#ids.set(from, to)
    this.#keys.set(to, from)
    this.#queues.set(to, this.#queues.get(from)!)
    this.#queues.delete(from)
    for (const change of this.#changes) if (change.id === from) change.id = to
  }

  #reject(change: Change, title: string, error: unknown): void {
    this.#drop(change)
    if (error instanceof Withdrawn) return
    if (error instanceof Overtaken) this.#offerBoth(change, error.latest)
    else if (hasCode(error, "TASK_NOT_FOUND")) this.#offerAgain(change, title)
    else notify(`“${title}” was not saved. ${explain(error)}`, { kind: "problem" })
  }

  #offerBoth(change: Change, latest: Task): void {
    this.#conflicts = new Map(this.#conflicts).set(latest.id, change.fields as Text)
    this.list.replace(latest.id, latest)
    announce(`${latest.title} was changed somewhere else too. Choose a version.`)
    this.#show()
  }

  #offerAgain({ id, fields }: Change, title: string): void {
    this.list.replace(id)
    this.#show()
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

  #snapshot(): Shown {
    const { known, stats, state, more, view, parts } = this.list
    const tasks = withChanges(known, this.#changes).filter(
      ({ completed }) => view.status === "all" || completed === (view.status === "completed"),
    )
    const counts = stats && countsWith(stats, known, this.#changes)
    const saving = this.#changes.some((change) => !change.held)
    const common = { tasks, counts, state, more, view, saving, conflicts: this.#conflicts }
    return { ...common, parts: inParts(tasks, parts) }
  }
}

function inParts(tasks: Task[], firsts: Set<number>): Task[][] {
  const parts: Task[][] = [[]]
  for (const task of tasks) {
    if (firsts.has(task.id)) parts.push([])
    parts.at(-1)!.push(task)
  }
  return parts
}
