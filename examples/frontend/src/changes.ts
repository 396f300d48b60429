import type { Task, TaskStats } from "./tasks"

/** A change that the user has made and the service has not confirmed yet. */
export interface Change {
  id: number
  created?: Task
  fields?: Partial<Task>
  removed?: boolean
  /** Whether it is not sent yet, because the user may still undo it. */
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

/** Returns the counts as they will be once the service has confirmed `changes`. */
export function countsWith(stats: TaskStats, known: Task[], changes: Change[]): TaskStats {
  const touched = new Set(changes.map((change) => change.id))
  const before = known.filter((task) => touched.has(task.id))
  return countsAfter(stats, before, withChanges(before, changes))
}

/** Returns the counts after the tasks `before` were replaced by the tasks `after`. */
export function countsAfter(stats: TaskStats, before: Task[], after: Task[]): TaskStats {
  const total = stats.total + after.length - before.length
  const completed = stats.completed + ticked(after) - ticked(before)
  return { total, completed, pending: total - completed }
}

function ticked(tasks: Task[]): number {
  return tasks.filter((task) => task.completed).length
}
