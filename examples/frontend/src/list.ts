import { tasks } from "./api"
import { type Counts, plus } from "./changes"
import { persist } from "./connection"
import { announce } from "./notices"
import type { CallOptions, Task } from "./tasks"
import { keepView, type View } from "./view"

const PAGE = 100
const LARGEST_PAGE = 1000 // of the service
const TIMEOUT = 20_000 // milliseconds

/** The user's tasks that are loaded, without changes that the service has not confirmed. */
export class LoadedList {
  known: Task[] = []
  /** How many tasks there are besides those that are loaded. */
  rest: Counts | undefined
  state: "loading" | "ready" | "failed" = "loading"
  view: View = { status: "all", sort: "created", q: "" }
  /** The tasks that the user is editing. They stay in the list even if another tab deletes them. */
  readonly edited = new Set<number>()
  /** The ids that new tasks have on this page, by their ids in the service. */
  readonly ids = new Map<number, number>()
  /** The number of the part in which a task is rendered. Others are in the part before them. */
  readonly parts = new Map<number, number>()
  #cursor: string | null = null
  #reading: AbortController | undefined

  constructor(private changed: () => void) {}

  /** Whether there are more pages. */
  get more(): boolean {
    return this.#cursor !== null
  }

  /** Loads the first page of another view. */
  async load(view: Partial<View>): Promise<void> {
    this.view = { ...this.view, ...view }
    this.parts.clear()
    keepView(this.view)
    await this.#read((signal) => this.#replace(PAGE, signal), "loading")
    const number = `${this.known.length}${this.more ? " or more" : ""}`
    if (this.state === "ready") announce(`${number} tasks`)
  }

  /** Loads as many tasks as before, because another tab or device may have changed them. */
  refresh(): Promise<void> {
    const wanted = Math.max(this.known.length, PAGE)
    return this.#read((signal) => this.#replace(wanted, signal))
  }

  /** Loads the next page. */
  async loadMore(): Promise<void> {
    if (this.#reading || !this.more) return
    await this.#read(async (signal) => {
      const page = await this.#page(PAGE, this.#cursor, signal)
      const shown = new Set(this.known.map(({ id }) => id))
      const added = page.tasks.filter(({ id }) => !shown.has(id))
      for (const { id } of added) this.parts.set(id, this.known.length)
      this.known = [...this.known, ...added]
      this.rest &&= plus(this.rest, added, -1)
      this.#cursor = page.next_cursor
    })
  }

  /** Adds a created task. It is the first in the list until the list is loaded again. */
  add(task: Task): void {
    this.known = [task, ...this.known]
  }

  /** Replaces a task with its current version, or removes it if there is none. */
  replace(id: number, after?: Task): void {
    this.known = this.known.flatMap((task) => (task.id !== id ? task : (after ?? [])))
  }

  close(): void {
    this.#reading?.abort()
  }

  /** Loads `wanted` tasks, and again if a change that they may lack was confirmed meanwhile. */
  async #replace(wanted: number, signal: AbortSignal): Promise<void> {
    let before, found, stats
    do {
      before = this.known
      stats = await this.#ask(signal, (options) => tasks.stats(options))
      found = await this.#page(Math.min(wanted, LARGEST_PAGE), null, signal)
      while (found.next_cursor && found.tasks.length < wanted) {
        const limit = Math.min(wanted - found.tasks.length, LARGEST_PAGE)
        const next = await this.#page(limit, found.next_cursor, signal)
        found = { ...next, tasks: [...found.tasks, ...next.tasks] }
      }
    } while (before !== this.known)
    this.known = this.#merged(found.tasks)
    this.rest = plus(stats, this.known, -1)
    this.#cursor = found.next_cursor
  }

  /** Returns the tasks that were found, and those that are being edited at their old places. */
  #merged(found: Task[]): Task[] {
    const old = new Map(this.known.map((task) => [task.updated_at + task.id, task]))
    // A task that is the same object as before is not rendered again.
    const merged = found.map((task) => old.get(task.updated_at + task.id) ?? task)
    const ids = new Set(found.map(({ id }) => id))
    this.known.forEach((task, index) => {
      if (this.edited.has(task.id) && !ids.has(task.id)) merged.splice(index, 0, task)
    })
    return merged
  }

  async #page(limit: number, cursor: string | null, signal: AbortSignal) {
    const { q, ...view } = this.view
    const query = { ...view, limit, ...(q && { q }), ...(cursor && { cursor }) }
    const page = await this.#ask(signal, (options) => tasks.list(query, options))
    const named = page.tasks.map((task) => ({ ...task, id: this.ids.get(task.id) ?? task.id }))
    return { ...page, tasks: named }
  }

  async #ask<T>(signal: AbortSignal, request: (options: CallOptions) => Promise<T>): Promise<T> {
    const result = await persist(() => {
      signal.throwIfAborted()
      return request({ signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]) })
    })
    signal.throwIfAborted()
    return result
  }

  /** Runs `job`, and aborts the previous one if it is still running. */
  async #read(job: (signal: AbortSignal) => Promise<void>, state = this.state): Promise<void> {
    this.#reading?.abort()
    const mine = (this.#reading = new AbortController())
    this.state = state
    this.changed()
    try {
      await job(mine.signal)
      this.state = "ready"
    } catch (error) {
      if (mine.signal.aborted) return
      this.state = "failed"
      console.error(error)
    }
    this.#reading = undefined
    this.changed()
  }
}
