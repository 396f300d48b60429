import { authClient } from "./auth-client"
import { expire, persist, tryNow, trouble } from "./connection"
import { dismissAll } from "./notices"
import { Observable } from "./observable"
import { TaskStore } from "./store"
import { tasks } from "./api"
import { TasksError } from "./tasks"

export interface User {
  id: string
  email: string
}

/** "starting" until it is known whether somebody is signed in. */
export type Session = "starting" | "out" | { user: User; store: TaskStore }

const SIGNED_OUT = "signed-out" // a key of localStorage, which tells other tabs
const UNREACHABLE = "The sign-in can't be reached at the moment. Try again."

export const session = new Observable<Session>("starting")

/** Checks who is signed in, at the start and when the user returns to this tab. */
export async function check(): Promise<void> {
  const user = await persist(currentUser)
  if (user) enter(user)
  else if (typeof session.value === "object") expire()
  else session.value = "out"
}

/** Returns an explanation if it fails. */
export async function signIn(email: string, password: string): Promise<string | undefined> {
  return attempt(() => authClient.signIn.email({ email, password }))
}

export async function signUp(email: string, password: string): Promise<string | undefined> {
  return attempt(() => authClient.signUp.email({ email, password, name: email }))
}

export async function signOut(): Promise<string | undefined> {
  dismissAll() // sends the deletions that wait
  const problem = await explained(() => authClient.signOut())
  if (!problem) leave()
  return problem
}

/** Deletes the account. Better Auth's server makes the service delete the tasks first. */
export async function deleteAccount(password: string): Promise<string | undefined> {
  const problem = await explained(() => authClient.deleteUser({ password }))
  if (!problem) leave()
  return problem
}

async function currentUser(): Promise<User | undefined> {
  const { data, error } = await authClient.getSession().catch(() => ({ data: null, error: {} }))
  if (error) throw new TasksError(("status" in error && error.status) || 0, { detail: UNREACHABLE })
  return data?.user
}

async function attempt(request: () => Promise<Result>): Promise<string | undefined> {
  const problem = await explained(request)
  if (problem) return problem
  const user = await currentUser().catch(() => undefined)
  if (!user) return UNREACHABLE
  enter(user)
}

type Result = { error: { message?: string | undefined; status: number } | null }

async function explained(request: () => Promise<Result>): Promise<string | undefined> {
  const { error } = await request().catch(() => ({ error: { message: "", status: 0 } }))
  if (error?.status === 429) return "Too many attempts. Wait a minute, then try again."
  return error ? error.message || UNREACHABLE : undefined
}

/** Shows the tasks of `user`. If they are already shown, sends the changes that have waited. */
function enter(user: User): void {
  const before = session.value
  if (typeof before !== "object" || before.user.id !== user.id) {
    close()
    session.value = { user, store: new TaskStore() }
  }
  if (trouble.value?.kind === "expired") {
    tryNow()
    trouble.value = undefined
  }
}

function leave(): void {
  localStorage.setItem(SIGNED_OUT, String(Date.now()))
  close()
  session.value = "out"
}

/** Stops the requests of the last user, because they must not reach the next user's tasks. */
function close(): void {
  if (typeof session.value === "object") session.value.store.close()
  tasks.forget()
}

window.addEventListener("storage", ({ key }) => {
  if (key !== SIGNED_OUT) return
  close()
  session.value = "out"
})
window.addEventListener("focus", () => {
  if (typeof session.value === "object" && !trouble.value) void check()
})
