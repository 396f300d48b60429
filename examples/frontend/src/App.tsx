import { trouble } from "./connection"
import { Dialog } from "./Dialog"
import { Notices } from "./Notices"
import { useValue } from "./observable"
import { session } from "./session"
import { SignIn } from "./SignIn"
import { TasksPage } from "./TasksPage"

export function App() {
  const now = useValue(session)
  const isExpired = useValue(trouble) === "expired"
  return (
    <>
      {now === null && (
        <main className="welcome">
          <img src="/icon.svg" alt="" width="48" height="48" />
          <h1>Tasks</h1>
          <p className="lead">Everything that is to be done, in one calm place.</p>
          <SignIn />
        </main>
      )}
      {now && <TasksPage key={now.user.id} {...now} />}
      {now && isExpired && (
        <Dialog title="Your session has ended">
          <p>Sign in again to go on. What you changed is kept and will be saved.</p>
          <SignIn email={now.user.email} />
        </Dialog>
      )}
      <Notices />
    </>
  )
}
