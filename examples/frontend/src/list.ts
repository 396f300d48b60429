import { tasks } from "./api"
import { countsAfter } from "./changes"
import { persist } from "./connection"
import type { CallOptions, ListQuery, Task, TaskStats } from "./tasks"

export type View = Required<Pick<ListQuery, "status" | "sort" | "q">>

const PAGE = 100
const LARGEST_PAGE = 1000 // of the service
const TIMEOUT = 20_000 // milliseconds

/** The user's tasks that are loaded, without changes that the service has not confirmed. */
export class LoadedList {
  known: Task[] = []
  stats: TaskStats | undefined
  state: "loading" | "ready" | "failed" = "loading"
  more = false
  /** The first task of each part of the list. A change renders only the part that it is in. */
  parts = new Set<number>()
  view: View = { status: "all", sort: "created", q: "" }
  #cursor: string | null = null
  #revision = 0 // of `known`
  #reading: AbortController | undefined
  #changed: () => void

  constructor(changed: () => void) {
    this.#changed = changed
  }

  /** Loads the first page of another view. */
  load(view: View): Promise<void> {
    this.view = view
    this.parts = new Set()
    return this.#read((signal) => this.#replace(PAGE, signal), "loading")
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
      const shown = new Set(this.known.map((task) => task.id))
      const added = page.tasks.filter((task) => !shown.has(task.id))
      this.known = [...this.known, ...added]
      if (added[0]) this.parts.add(added[0].id)
      this.#continueAt(page.next_cursor)
    })
  }

  /** Adds a created task. It is the first in the list until the list is loaded again. */
  add(task: Task): void {
    this.known = [task, ...this.known]
    this.#count([], [task])
  }

  /** Replaces a task with its current version, or removes it if there is none. */
  replace(id: number, after?: Task): void {
    const before = this.known.filter((task) => task.id === id)
    this.known = this.known.flatMap((task) => (task.id !== id ? task : (after ?? [])))
    this.#count(before, before.length && after ? [after] : [])
  }

  #count(before: Task[], after: Task[]): void {
    this.#revision++
    if (this.stats) this.stats = countsAfter(this.stats, before, after)
  }

  close(): void {
    this.#reading?.abort()
  }

  /** Loads `wanted` tasks, and again if a change that they may lack was confirmed meanwhile. */
  async #replace(wanted: number, signal: AbortSignal): Promise<void> {
    let revision, pages, stats
    do {
      revision = this.#revision
      stats = await this.#ask(signal, (options) => tasks.stats(options))
      pages = await this.#pages(wanted, signal)
    } while (revision !== this.#revision)
    const old = new Map(this.known.map((task) => [task.updated_at + task.id, task]))
    // A task that is the same object as before is not rendered again.
    this.known = pages.tasks.map((task) => old.get(task.updated_at + task.id) ?? task)
    this.stats = stats
    this.#continueAt(pages.next_cursor)
  }

  async #pages(wanted: number, signal: AbortSignal) {
    const all: Task[] = []
    let cursor: string | null = null
    do {
      const limit = Math.min(LARGEST_PAGE, wanted - all.length)
      const page = await this.#page(limit, cursor, signal)
      all.push(...page.tasks)
      cursor = page.next_cursor
    } while (cursor && all.length < wanted)
    return { tasks: all, next_cursor: cursor }
  }

  #page(limit: number, cursor: string | null, signal: AbortSignal) {
    const { q, ...view } = this.view
    const query = { ...view, limit, ...(q && { q }), ...(cursor && { cursor }) }
    return this.#ask(signal, (options) => tasks.list(query, options))
  }

  async #ask<T>(signal: AbortSignal, request: (options: CallOptions) => Promise<T>): Promise<T> {
    const result = await persist(() => {
      signal.throwIfAborted()
      return request({ signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]) })
    })
    signal.throwIfAborted()
    return result
  }

  #continueAt(cursor: string | null): void {
    this.#cursor = cursor
    this.more = cursor !== null
  }

  /** Runs `job`, and aborts the previous one if it is still running. */
  async #read(job: (signal: AbortSignal) => Promise<void>, state = this.state): Promise<void> {
    this.#reading?.abort()
    const mine = (this.#reading = new AbortController())
    this.state = state
    this.#changed()
    try {
      await job(mine.signal)
      this.state = "ready"
    } catch (error) {
      if (!mine.signal.aborted) this.state = "failed"
      if (!mine.signal.aborted) console.error(error)
    }
    if (this.#reading !== mine) return
    this.#reading = undefined
    this.#changed()
  }
}
