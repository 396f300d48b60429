import { trouble, tryNow } from "./connection"
import { Icon } from "./Icon"
import { act, announcement, dismiss, hold, notices } from "./notices"
import { useValue } from "./observable"

const SENTENCES = {
  offline: "You are offline. What you change is kept and sent later.",
  unreachable: "The service can’t be reached. What you change is kept and sent later.",
  busy: "That was a lot at once. It goes on in a moment.",
  unavailable: "The service has a short break. It goes on by itself.",
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
      <div role="status">
        {problem && problem !== "expired" && (
          <div className="notice problem">
            <span>{SENTENCES[problem]}</span>
            <button onClick={tryNow}>Try now</button>
          </div>
        )}
      </div>
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
