import { apiUrl, token } from "./auth-client"
import { createTasks, TasksError } from "./tasks"

/** This client does not retry, because connection.ts does, and shows why a call waits. */
export const tasks = createTasks({ url: apiUrl, token, retries: 0 })

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof TasksError && error.code === code
}

export function explain(error: unknown): string {
  return error instanceof TasksError ? error.detail : "Something went wrong in this page."
}
