import { apiUrl, token } from "./auth-client"
import { type CallOptions, createTasks, type Task, type TaskChanges, TasksError } from "./tasks"

export type Text = Required<Pick<TaskChanges, "title" | "description">>

/** Thrown if the text was changed somewhere else after the user began to edit it. */
export class Overtaken extends Error {
  constructor(readonly latest: Task) {
    super("The task was changed somewhere else.")
  }
}

/** This client does not retry, because connection.ts does, and shows why a call waits. */
export const tasks = createTasks({ url: apiUrl, token, retries: 0 })

/** Saves `text` if the task still has the text of `base`, and throws Overtaken otherwise. */
export async function saveText(id: number, base: Task, text: Text, options: CallOptions) {
  for (let version = base; ;) {
    try {
      return await tasks.update(id, text, { ...options, ifMatch: version })
    } catch (error) {
      if (!hasCode(error, "PRECONDITION_FAILED")) throw error
      const latest = await tasks.get(id)
      if (same(latest, text)) return latest // an earlier attempt saved it already
      if (!same(latest, base)) throw new Overtaken(latest)
      version = latest // only `completed` has changed
    }
  }
}

export function same(a: Text, b: Text): boolean {
  return a.title === b.title && a.description === b.description
}

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof TasksError && error.code === code
}

export function explain(error: unknown): string {
  return error instanceof TasksError ? error.detail : "Something went wrong in this page."
}
