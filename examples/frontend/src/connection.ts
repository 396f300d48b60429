import { Observable } from "./observable"
import { TasksError } from "./tasks"

/** Why requests wait. */
export type Trouble = {
  kind: "offline" | "unreachable" | "busy" | "unavailable" | "expired"
  /** When the next attempt begins, in milliseconds. */
  until: number
}

const LONGEST_PAUSE = 15 // seconds, without a Retry-After

let failures = 0
let resumed: Promise<void> | undefined
let resume = () => {}

/** The reason why requests wait at the moment, if they do. */
export const trouble = new Observable<Trouble | undefined>(undefined)

/**
 * Calls `send` until the service accepts or rejects the request. If the connection is lost, the
 * service is busy or the session has ended, it waits and calls `send` again. Throws final errors,
 * such as "no such task".
 */
export async function persist<T>(send: () => Promise<T>): Promise<T> {
  for (;;) {
    while (resumed) await resumed
    try {
      const result = await send()
      recover()
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
  resume()
}

/** Stops all requests until the user has signed in. */
export function expire(): void {
  pause("expired")
}

function recover(): void {
  failures = 0
  if (!resumed) trouble.value = undefined
}

function pause(kind: Trouble["kind"], retryAfter?: number): void {
  if (resumed && kind !== "expired") return
  const seconds = retryAfter ?? Math.min(2 ** failures++, LONGEST_PAUSE)
  const wait = kind === "expired" ? Infinity : seconds * 1000
  trouble.value = { kind, until: Date.now() + wait }
  resume() // end a pause of another kind
  resumed = new Promise((resolve) => {
    const timer = wait === Infinity ? undefined : setTimeout(() => resume(), wait)
    resume = () => {
      clearTimeout(timer)
      resumed = undefined
      resume = () => {}
      resolve()
    }
  })
}

function kindOf(error: unknown): Trouble["kind"] | undefined {
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
  const kind = trouble.value?.kind
  if (kind === "offline" || kind === "unreachable") resume()
}

window.addEventListener("online", reconsider)
window.addEventListener("focus", reconsider)
window.addEventListener("offline", () => pause("offline"))
