import { type FormEvent, type ReactNode, useState, useTransition } from "react"

interface Props {
  /** The text of the button that sends the form. */
  action: string
  /** Returns an explanation if it fails. */
  send: (fields: Record<string, string>) => Promise<string | undefined>
  /** With it, the form has a button to cancel, and the other button warns. */
  onCancel?: () => void
  children?: ReactNode
}

/** A form that waits while it is sent, and shows why it failed. */
export function Form({ action, send, onCancel, children }: Props) {
  const [problem, setProblem] = useState<string>()
  const [busy, start] = useTransition()

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const fields = new FormData(event.currentTarget) as Iterable<[string, string]>
    start(async () => setProblem(await send(Object.fromEntries(fields))))
  }

  return (
    <form onSubmit={submit}>
      {children}
      <p className="problem" role="alert">
        {problem}
      </p>
      <div className="buttons">
        {onCancel && (
          <button type="button" onClick={onCancel}>
            Cancel
          </button>
        )}
        <button className={onCancel ? "danger" : "primary"} disabled={busy}>
          {action}
        </button>
      </div>
    </form>
  )
}
