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

/** Returns the tasks as they will be once the service has confirmed the change. */
export function withChange(tasks: Task[], { id, created, fields, removed }: Change): Task[] {
  if (created) return [created, ...tasks]
  if (removed) return tasks.filter((task) => task.id !== id)
  return tasks.map((task) => (task.id === id ? { ...task, ...fields } : task))
}

export type Counts = Pick<TaskStats, "total" | "completed">

/** Returns the counts with `tasks` added or, with -1, subtracted. */
export function plus({ total, completed }: Counts, tasks: Task[], sign: 1 | -1 = 1): Counts {
  const ticked = tasks.filter((task) => task.completed).length
  return { total: total + sign * tasks.length, completed: completed + sign * ticked }
}
