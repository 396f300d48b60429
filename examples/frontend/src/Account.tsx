import { useState } from "react"
import { Dialog } from "./Dialog"
import { Form } from "./Form"
import { deleteAccount, type Session, signOut } from "./session"

export function Account({ user, total }: Pick<Session, "user"> & { total?: number | undefined }) {
  const [isDeleting, setDeleting] = useState(false)
  const close = () => setDeleting(false)
  const tasks = total === 1 ? "your task" : `all your tasks (${total ?? "…"})`

  return (
    <>
      <button className="avatar" popoverTarget="account" aria-label={`Account ${user.email}`}>
        {user.email[0]!.toUpperCase()}
      </button>
      <div id="account" popover="auto">
        <p>{user.email}</p>
        <button onClick={() => void signOut()}>Sign out</button>
        <button onClick={() => setDeleting(true)}>Delete account …</button>
      </div>
      {isDeleting && (
        <Dialog title="Delete your account?" onClose={close}>
          <p>Your account and {tasks} are deleted for good. This can’t be undone.</p>
          <Form
            action="Delete everything"
            send={({ password }) => deleteAccount(password!)}
            onCancel={close}
          >
            <label>
              Your password
              <input name="password" type="password" autoComplete="current-password" required />
            </label>
          </Form>
        </Dialog>
      )}
    </>
  )
}
