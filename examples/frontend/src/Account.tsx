import { useState } from "react"
import { Dialog } from "./Dialog"
import { Form } from "./Form"
import { notify } from "./notices"
import { useValue } from "./observable"
import { deleteAccount, saveAll, type Session, signOut } from "./session"

export function Account({ user, store }: Session) {
  const [asking, setAsking] = useState<"leave" | "delete">()
  const close = () => setAsking(undefined)
  const total = useValue(store.shown).counts?.total
  const tasks = total === 1 ? "your task" : `all your tasks (${total ?? "…"})`

  async function leave() {
    if (!(await saveAll({ user, store }))) return setAsking("leave")
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
        <button onClick={() => setAsking("delete")}>Delete account …</button>
      </div>
      {asking === "leave" && (
        <Dialog title="Sign out without saving?" onClose={close}>
          <p>Some changes are not saved yet. They are lost if you sign out now.</p>
          <Form action="Sign out" send={signOut} onCancel={close} />
        </Dialog>
      )}
      {asking === "delete" && (
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
