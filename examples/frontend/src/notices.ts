import { Observable } from "./observable"

export interface Notice {
  id: number
  text: string
  kind: "done" | "problem"
  action?: { label: string; run: () => void } | undefined
  /** Called once the notice is gone, for whatever reason. */
  closed?: () => void
  timer?: ReturnType<typeof setTimeout>
}

const SHOWN = 3 // notices at a time
const SECONDS = { done: 6, problem: 12 }

let last = 0

export const notices = new Observable<Notice[]>([])

/** Text that screen readers announce and that is not visible. */
export const announcement = new Observable("")

export function announce(text: string): void {
  // With an extra space, the same text counts as new and is announced again.
  announcement.value = announcement.value === text ? `${text}\u00a0` : text
}

/** Shows a notice for a few seconds. */
export function notify(text: string, more: Partial<Notice> = {}): void {
  const notice: Notice = { id: ++last, text, kind: "done", ...more }
  notices.value = [...notices.value, notice]
  notices.value.slice(0, -SHOWN).forEach(dismiss)
  start(notice)
}

export function dismiss(notice: Notice): void {
  if (!notices.value.includes(notice)) return
  clearTimeout(notice.timer)
  notices.value = notices.value.filter((other) => other !== notice)
  notice.closed?.()
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
    clearTimeout(notice.timer)
    if (!held) start(notice)
  }
}

function start(notice: Notice): void {
  notice.timer = setTimeout(() => dismiss(notice), SECONDS[notice.kind] * 1000)
}

// Sends deletions that wait for a notice to close, before the user leaves the page.
window.addEventListener("pagehide", dismissAll)
