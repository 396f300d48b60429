import type { Task, TaskStats } from "./tasks"

/** What the user has done and the service has not confirmed yet. */
export interface Change {
  id: number
  created?: Task
  fields?: Partial<Task>
  removed?: boolean
  /** Whether it waits for the user, who may still undo it. */
  held?: boolean
}

/** Returns the tasks as they will be once the service has confirmed `changes`. */
export function withChanges(known: Task[], changes: Change[]): Task[] {
  if (changes.length === 0) return known
  const created = changes.flatMap((change) => change.created ?? []).reverse()
  const touched = new Set(changes.map((change) => change.id))
  return [...created, ...known].flatMap((task) =>
    touched.has(task.id) ? applied(task, changes) : task,
  )
}

function applied(task: Task, changes: Change[]): Task[] {
  const mine = changes.filter((change) => change.id === task.id)
  if (mine.some((change) => change.removed)) return []
  return [mine.reduce((before, { fields }) => ({ ...before, ...fields }), task)]
}

/** Returns the counts as they will be. */
export function countsWith(stats: TaskStats, known: Task[], changes: Change[]): TaskStats {
  const touched = new Set(changes.map((change) => change.id))
  const before = known.filter((task) => touched.has(task.id))
  return countsAfter(stats, before, withChanges(before, changes))
}

/** Returns the counts after tasks have become other tasks. */
export function countsAfter(stats: TaskStats, before: Task[], after: Task[]): TaskStats {
  const total = stats.total + after.length - before.length
  const completed = stats.completed + ticked(after) - ticked(before)
  return { total, completed, pending: total - completed }
}

function ticked(tasks: Task[]): number {
  return tasks.filter((task) => task.completed).length
}
