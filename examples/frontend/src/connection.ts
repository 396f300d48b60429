import { Observable } from "./observable"
import { TasksError } from "./tasks"

/** Why requests wait. */
export type Trouble = "offline" | "unreachable" | "busy" | "unavailable" | "expired"

const LONGEST_PAUSE = 15 // seconds, without a Retry-After

let failures = 0
let waiting: Promise<void> | undefined
let endWaiting = () => {}

/** The reason why requests wait at the moment, if they do. */
export const trouble = new Observable<Trouble | undefined>(undefined)

/**
 * Calls `send` until the service accepts or rejects the request. If the connection is lost, the
 * service is busy or the session has ended, it waits and calls `send` again. Throws final errors,
 * such as "no such task".
 */
export async function persist<T>(send: () => Promise<T>): Promise<T> {
  for (;;) {
    while (waiting) await waiting
    try {
      const result = await send()
      failures = 0
      if (!waiting) trouble.value = undefined
      return result
    } catch (error) {
      const kind = kindOf(error)
      if (!kind) throw error
      pause(kind, error instanceof TasksError ? error.retryAfter : undefined)
    }
  }
}

/** Ends the pause. If the session has ended, call this once the user has signed in again. */
export function tryNow(): void {
  waiting = undefined
  endWaiting()
}

/** Makes requests wait: for `retryAfter` seconds, or until `tryNow` if the session has ended. */
export function pause(kind: Trouble, retryAfter?: number): void {
  if (waiting && kind !== "expired") return
  trouble.value = kind
  endWaiting() // of another kind
  const mine = (waiting = new Promise((resolve) => (endWaiting = resolve)))
  if (kind === "expired") return
  const seconds = retryAfter ?? Math.min(2 ** failures++, LONGEST_PAUSE)
  setTimeout(() => waiting === mine && tryNow(), seconds * 1000)
}

function kindOf(error: unknown): Trouble | undefined {
  if ((error as Error).name === "TimeoutError") return "unreachable"
  if (!(error instanceof TasksError)) return undefined
  if (error.code === "NOT_AUTHENTICATED") return "expired"
  if (error.status === 429) return "busy"
  if (error.status === 503) return "unavailable"
  if (![0, 502, 504].includes(error.status)) return undefined
  return navigator.onLine ? "unreachable" : "offline"
}

/** Ends the pause when the connection returns, but not a pause that the service asked for. */
function reconsider(): void {
  if (trouble.value === "offline" || trouble.value === "unreachable") tryNow()
}

window.addEventListener("online", reconsider)
window.addEventListener("focus", reconsider)
window.addEventListener("offline", () => pause("offline"))
