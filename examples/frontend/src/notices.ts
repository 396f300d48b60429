import { Observable } from "./observable"

export interface Notice {
  id: number
  text: string
  kind: "done" | "problem"
  action?: { label: string; run: () => void } | undefined
  /** Called once the notice is gone, for whatever reason. */
  closed?: () => void
}

const SHOWN = 3 // notices at a time
const SECONDS = { done: 6, problem: 12 }

let last = 0
const timers = new Map<number, ReturnType<typeof setTimeout>>()

export const notices = new Observable<Notice[]>([])

/** Text that screen readers announce and that is not visible. */
export const announcement = new Observable("")

export function announce(text: string): void {
  // With an extra space, the same text counts as new and is announced again.
  announcement.value = announcement.value === text ? `${text}\u00a0` : text
}

/** Shows a notice for a few seconds. */
export function notify(text: string, more: Partial<Notice> = {}): void {
  const notice = { id: ++last, text, kind: "done" as const, ...more }
  const all = [...notices.value, notice]
  notices.value = all.slice(-SHOWN)
  for (const old of all.slice(0, -SHOWN)) end(old)
  start(notice)
}

export function dismiss(notice: Notice): void {
  if (!notices.value.includes(notice)) return
  notices.value = notices.value.filter((other) => other !== notice)
  end(notice)
}

export function dismissAll(): void {
  notices.value.forEach(dismiss)
}

export function act(notice: Notice | undefined): void {
  notice?.action?.run()
  if (notice) dismiss(notice)
}

/** Keeps the notices while the user points at them, and restarts their timers after that. */
export function hold(held: boolean): void {
  for (const notice of notices.value) {
    clearTimeout(timers.get(notice.id))
    if (!held) start(notice)
  }
}

function start(notice: Notice): void {
  const close = () => dismiss(notice)
  timers.set(notice.id, setTimeout(close, SECONDS[notice.kind] * 1000))
}

function end(notice: Notice): void {
  clearTimeout(timers.get(notice.id))
  timers.delete(notice.id)
  notice.closed?.()
}

// Sends deletions that wait for a notice to close, before the user leaves the page.
window.addEventListener("pagehide", dismissAll)
