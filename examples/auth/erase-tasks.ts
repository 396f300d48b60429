import { APIError } from "better-auth/api"

const apiUrl = process.env.API_URL ?? "http://127.0.0.1:8000"
const TIMEOUT = 20_000 // milliseconds; the service deletes many tasks in several statements
const FAILED = "Your tasks can't be deleted at the moment, so your account was kept. Please try again later."

/**
 * Deletes every task of a user. Throws an APIError, which Better Auth sends to the client as a 503, if the
 * service can't do so now.
 */
export async function eraseTasks(userId: string, token: string): Promise<void> {
  const url = `${apiUrl}/api/${encodeURIComponent(userId)}/tasks?status=all`
  const response = await fetch(url, {
    method: "DELETE",
    headers: { Authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(TIMEOUT),
  }).catch((error: Error) => error)
  if (response instanceof Error || !response.ok) {
    const reason = response instanceof Error ? response.message : `status ${response.status}`
    console.error(`The tasks of a user can't be deleted: ${reason}`)
    throw new APIError("SERVICE_UNAVAILABLE", { message: FAILED, code: "TASKS_NOT_DELETED" })
  }
}
