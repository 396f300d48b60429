import { tasks } from "./api"
import { authClient } from "./auth-client"
import { pause, persist, tryNow, trouble } from "./connection"
import { notify } from "./notices"
import { Observable } from "./observable"
import { TaskStore } from "./store"
import { TasksError } from "./tasks"
import { viewOfAddress } from "./view"

export interface Session {
  user: { id: string; email: string }
  store: TaskStore
}

const PATIENCE = 3000 // milliseconds for changes to be saved before the user signs out
const SIGNED_OUT = "signed-out" // a key of localStorage, which tells other tabs
const UNREACHABLE = "The sign-in can't be reached at the moment. Try again."

/** It is undefined until it is known whether somebody is signed in, and null if nobody is. */
export const session = new Observable<Session | null | undefined>(undefined)

/** Checks who is signed in, at the start and when the user returns to this tab. */
export async function check(): Promise<void> {
  const user = await persist(currentUser)
  if (user) enter(user)
  else if (session.value) pause("expired")
  else session.value = null
}

/** Signs in or up. Returns an explanation if it fails. */
export async function signIn(email: string, password: string, isNew: boolean) {
  const account = { email, password, name: email }
  const { signUp, signIn } = authClient
  const problem = await problemOf(isNew ? signUp.email(account) : signIn.email(account))
  if (problem) return problem
  const user = await currentUser().catch(() => undefined)
  if (!user) return UNREACHABLE
  enter(user)
}

/** Saves what can be saved now. Returns whether the user can sign out without losing a change. */
export async function saveAll({ store }: Session): Promise<boolean> {
  const wait = trouble.value ? 0 : PATIENCE
  await Promise.race([store.saveAll(), new Promise((over) => setTimeout(over, wait))])
  return !store.shown.value.saving
}

/** Returns an explanation if it fails. */
export async function signOut() {
  return leaveAfter(authClient.signOut())
}

/** Deletes the account. Better Auth's server makes the service delete the tasks first. */
export async function deleteAccount(password: string) {
  return leaveAfter(authClient.deleteUser({ password }))
}

async function currentUser(): Promise<Session["user"] | undefined> {
  const { data, error } = await authClient.getSession().catch(() => ({ data: null, error: {} }))
  if (error) throw new TasksError(("status" in error && error.status) || 0, { detail: UNREACHABLE })
  return data?.user
}

/** What Better Auth's client returns. */
type Result = Promise<{ error: { message?: string | undefined; status: number } | null }>

async function problemOf(result: Result): Promise<string | undefined> {
  const { error } = await result.catch(() => ({ error: { message: "", status: 0 } }))
  if (error?.status === 429) return "Too many attempts. Wait a minute, then try again."
  return error ? error.message || UNREACHABLE : undefined
}

async function leaveAfter(result: Result): Promise<string | undefined> {
  const problem = await problemOf(result)
  if (problem) return problem
  localStorage.setItem(SIGNED_OUT, String(Date.now()))
  leave()
}

/** Shows the tasks of `user`. If they are already shown, sends the changes that have waited. */
function enter(user: Session["user"]): void {
  if (session.value?.user.id !== user.id) {
    leave()
    session.value = { user, store: new TaskStore() }
    showAddress()
  }
  if (trouble.value === "expired") {
    tryNow()
    trouble.value = undefined
  }
}

/** Stops the requests of the last user, because they must not reach the next user's tasks. */
function leave(): void {
  const hasLost = session.value?.store.shown.value.saving
  session.value?.store.close()
  tasks.forget()
  session.value = null
  trouble.value = undefined // it was the last user's
  tryNow()
  if (hasLost) notify("Some changes were not saved.", { kind: "problem" })
}

function showAddress(): void {
  void session.value?.store.list.load(viewOfAddress())
}

/** Loads what has changed. This also finds out whether requests still have to wait. */
function onReturn(): void {
  if (document.hidden || session.value === undefined) return
  if (!session.value || trouble.value === "expired") return void follow()
  void check()
  void session.value.store.list.refresh()
}

/** Signs in too if the user has signed in in another tab. */
async function follow(): Promise<void> {
  const user = await currentUser().catch(() => undefined)
  if (user) enter(user)
}

window.addEventListener("popstate", showAddress)
window.addEventListener("online", onReturn)
window.addEventListener("focus", onReturn)
document.addEventListener("visibilitychange", onReturn)
window.addEventListener("storage", ({ key }) => key === SIGNED_OUT && leave())
// The browser asks before unsaved changes are lost.
window.addEventListener("beforeunload", (event) => {
  if (trouble.value && session.value?.store.shown.value.saving) event.preventDefault()
})
