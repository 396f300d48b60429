import { type FormEvent, useState } from "react"
import { Dialog } from "./Dialog"
import { notify } from "./notices"
import { deleteAccount, signOut, type User } from "./session"

export function Account({ user, total }: { user: User; total: number | undefined }) {
  const [deleting, setDeleting] = useState(false)

  async function leave() {
    const problem = await signOut()
    if (problem) notify(problem, { kind: "problem" })
  }

  return (
    <>
      <button className="avatar" popoverTarget="account" aria-label={`Account ${user.email}`}>
        {user.email[0]!.toUpperCase()}
      </button>
      <div id="account" popover="auto">
        <p>{user.email}</p>
        <button onClick={() => void leave()}>Sign out</button>
        <button onClick={() => setDeleting(true)}>Delete account …</button>
      </div>
      {deleting && <DeleteAccount total={total} onClose={() => setDeleting(false)} />}
    </>
  )
}

function DeleteAccount({ total, onClose }: { total: number | undefined; onClose: () => void }) {
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string>()

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const password = String(new FormData(event.currentTarget).get("password"))
    setBusy(true)
    setProblem(await deleteAccount(password))
    setBusy(false)
  }

  return (
    <Dialog title="Delete your account?" onClose={onClose}>
      <p>
        Your account and {total === 1 ? "your task" : `all your tasks (${total ?? "…"})`} are deleted
        for good. This can’t be undone.
      </p>
      <form onSubmit={submit}>
        <label>
          Your password
          <input name="password" type="password" autoComplete="current-password" required />
        </label>
        <p className="problem" role="alert">
          {problem}
        </p>
        <div className="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button className="danger" disabled={busy}>
            Delete everything
          </button>
        </div>
      </form>
    </Dialog>
  )
}
