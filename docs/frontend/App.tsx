"use client"
import { type FormEvent, type KeyboardEvent, useEffect, useRef, useState } from "react"
import { flushSync } from "react-dom"
import { authClient } from "./auth-client"
import { type Task, tasks, TasksError } from "./tasks"

const LOGIN_UNREACHABLE = "The login can't be reached at the moment. Try again."

export default function App() {
  const { data: session, isPending } = authClient.useSession()
  if (isPending) return <p>Loading …</p>
  if (!session) return <LogIn />
  return (
    <main>
      <button onClick={() => authClient.signOut()}>Log out</button>
      <TaskList key={session.user.id} />
    </main>
  )
}

function LogIn() {
  const [problem, setProblem] = useState("")

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget, (event.nativeEvent as SubmitEvent).submitter)
    const [email, password] = [String(form.get("email")), String(form.get("password"))]
    try {
      const { error } =
        form.get("action") === "sign-up"
          ? await authClient.signUp.email({ email, password, name: email })
          : await authClient.signIn.email({ email, password })
      setProblem(error ? error.message || LOGIN_UNREACHABLE : "")
    } catch {
      setProblem(LOGIN_UNREACHABLE) // no response at all
    }
  }

  return (
    <form onSubmit={submit}>
      <input name="email" type="email" placeholder="E-mail" autoComplete="email" required />
      <input
        name="password"
        type="password"
        placeholder="Password"
        autoComplete="current-password"
        minLength={8}
        required
      />
      <button name="action" value="log-in">Log in</button>
      <button name="action" value="sign-up">Sign up</button>
      <p role="alert">{problem}</p>
    </form>
  )
}

function TaskList() {
  const [shown, setShown] = useState<Task[]>([])
  const [status, setStatus] = useState<"loading" | "complete" | "failed">("loading")
  const [attempt, setAttempt] = useState(0)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState("")
  const end = useRef<HTMLDivElement>(null)

  const show = (page: Task[]) =>
    setShown((all) => [...all, ...page.filter(({ id }) => all.every((task) => task.id !== id))])
  const change = (id: number, fields: Partial<Task>) =>
    setShown((all) => all.map((task) => (task.id === id ? { ...task, ...fields } : task)))
  const hide = (id: number) => setShown((all) => all.filter((task) => task.id !== id))

  useEffect(() => tasks.forget, []) // on unmount, because the next user has another token

  // Loads a page whenever the end of the list is less than 300 pixels away.
  useEffect(() => {
    const target = end.current!
    const unmounted = new AbortController()
    const pages = tasks.pages({ limit: 20 }, { signal: unmounted.signal })
    const load = async (entries: IntersectionObserverEntry[]) => {
      if (!entries.some((entry) => entry.isIntersecting)) return
      observer.disconnect()
      try {
        const { value, done } = await pages.next()
        if (unmounted.signal.aborted) return
        if (done) return setStatus("complete")
        flushSync(() => show(value.tasks)) // now, because the next line measures the page
        observer.observe(target) // calls this function again if the end is still near
      } catch (error) {
        if (unmounted.signal.aborted) return
        setProblem(explain(error))
        setStatus("failed")
      }
    }
    const observer = new IntersectionObserver(load, { rootMargin: "300px" })
    observer.observe(target)
    return () => {
      unmounted.abort()
      observer.disconnect()
    }
  }, [attempt])

  function reload() {
    setShown([])
    setProblem("")
    setStatus("loading")
    setAttempt(attempt + 1)
  }

  async function create(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = event.currentTarget
    setBusy(true) // so that a double click creates only one task
    try {
      const task = await tasks.create({ title: String(new FormData(form).get("title")) })
      setShown((all) => [task, ...all])
      setProblem("")
      form.reset()
    } catch (error) {
      setProblem(explain(error))
    }
    setBusy(false)
  }

  return (
    <>
      <form onSubmit={create}>
        <input
          name="title"
          placeholder="What is to be done?"
          maxLength={200}
          readOnly={busy}
          required
        />
        <button disabled={busy}>Add</button>
      </form>
      {problem && <p role="alert">{problem}</p>}
      <ul>
        {shown.map((task) => (
          <Item key={task.id} task={task} change={change} hide={hide} />
        ))}
      </ul>
      <div ref={end}>
        {status === "loading" && <p>Loading …</p>}
        {status === "complete" && shown.length === 0 && <p>No tasks yet</p>}
        {status === "failed" && <button onClick={reload}>Reload</button>}
      </div>
    </>
  )
}

interface ItemProps {
  task: Task
  change: (id: number, fields: Partial<Task>) => void
  hide: (id: number) => void
}

function Item({ task, change, hide }: ItemProps) {
  const [draft, setDraft] = useState<string>() // the title while it is edited
  const [problem, setProblem] = useState("")
  const saved = useRef(task) // the task as the service last returned it
  const queue = useRef(Promise.resolve())

  /** Shows a change immediately, and sends it after the previous changes. */
  function enqueue(fields: Partial<Task>, send: () => Promise<Task | void>) {
    setProblem("")
    change(task.id, fields)
    const mine = queue.current.then(async () => {
      const result = await send().catch(takeBack)
      if (!result) return hide(task.id)
      saved.current = result
      if (queue.current === mine) change(task.id, result) // otherwise a later change is shown
    })
    queue.current = mine
  }

  /** Shows why a change failed. Returns the task as the service has it. */
  async function takeBack(error: unknown): Promise<Task> {
    setProblem(explain(error))
    const isOld = error instanceof TasksError && error.code === "PRECONDITION_FAILED"
    return isOld ? tasks.get(task.id).catch(() => saved.current) : saved.current
  }

  const tick = (completed: boolean) =>
    enqueue({ completed }, () => tasks.setCompleted(task.id, completed))
  const remove = () => enqueue({}, () => tasks.remove(task.id))

  function rename() {
    setDraft(undefined)
    const title = draft?.trim() ?? task.title
    if (title === task.title) return
    enqueue({ title }, () => tasks.update(task.id, { title }, { ifMatch: saved.current }))
  }

  function onKeyDown({ key, nativeEvent }: KeyboardEvent) {
    if (nativeEvent.isComposing) return // because the input method uses Enter and Escape
    if (key === "Enter") rename()
    if (key === "Escape") setDraft(undefined)
  }

  return (
    <li>
      <input
        type="checkbox"
        aria-label="Completed"
        checked={task.completed}
        onChange={(event) => tick(event.target.checked)}
      />
      <input
        aria-label="Title"
        value={draft ?? task.title}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={onKeyDown}
        onBlur={rename}
      />
      <button onClick={remove}>Delete</button>
      <span role="alert">{problem}</span>
    </li>
  )
}

function explain(error: unknown): string {
  return error instanceof TasksError ? error.detail : "Something went wrong in this page."
}
