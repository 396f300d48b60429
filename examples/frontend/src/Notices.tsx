import { useEffect, useState } from "react"
import { type Trouble, trouble, tryNow } from "./connection"
import { Icon } from "./Icon"
import { act, announcement, dismiss, hold, notices } from "./notices"
import { useValue } from "./observable"

const SENTENCES = {
  offline: "You are offline. What you change is kept and sent later.",
  unreachable: "The service can’t be reached. What you change is kept and sent later.",
  busy: "That was a lot at once. It goes on in a moment.",
  unavailable: "The service has a short break. It goes on by itself.",
  expired: "Your session has ended.",
}

/** The notices at the bottom of the page. They cover the page, so that nothing moves. */
export function Notices() {
  const shown = useValue(notices)
  const problem = useValue(trouble)
  return (
    <div className="notices">
      <p className="hidden" role="status">
        {useValue(announcement)}
      </p>
      <div role="status">{problem && problem.kind !== "expired" && <Pause {...problem} />}</div>
      <div
        role="log"
        aria-label="Messages"
        onPointerEnter={() => hold(true)}
        onPointerLeave={() => hold(false)}
        onFocus={() => hold(true)}
        onBlur={() => hold(false)}
      >
        {shown.map((notice) => (
          <div key={notice.id} className={`notice ${notice.kind}`}>
            <span>{notice.text}</span>
            {notice.action && <button onClick={() => act(notice)}>{notice.action.label}</button>}
            <button className="close" aria-label="Close" onClick={() => dismiss(notice)}>
              <Icon name="close" />
            </button>
          </div>
        ))}
      </div>
    </div>
  )
}

function Pause({ kind, until }: Trouble) {
  const seconds = useSecondsUntil(until)
  return (
    <div className="notice problem">
      <span>
        {SENTENCES[kind]}{" "}
        {/* Not read out, because it changes every second. */}
        <span aria-hidden="true">{seconds > 0 ? `Next attempt in ${seconds} s.` : "Trying …"}</span>
      </span>
      {(kind === "offline" || kind === "unreachable") && (
        <button onClick={tryNow}>Try now</button>
      )}
    </div>
  )
}

function useSecondsUntil(time: number): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    setNow(Date.now())
    const timer = setInterval(() => setNow(Date.now()), 500)
    return () => clearInterval(timer)
  }, [time])
  return Math.ceil((time - now) / 1000)
}
