import { apiUrl, token } from "./auth-client"

export interface Task {
  id: number
  user_id: string
  title: string
  description: string | null
  completed: boolean
  created_at: string
  /** Keep this as a string: `If-Match` compares its six decimals, and a `Date` has only three. */
  updated_at: string
}

export interface TaskList {
  tasks: Task[]
  count: number
  next_cursor: string | null
}

export interface NewTask {
  title: string
  description?: string | null
  completed?: boolean
}

/** The fields to change. A field that is omitted keeps its value. */
export interface TaskChanges {
  title?: string
  description?: string | null
  completed?: boolean
}

export interface ListQuery {
  status?: "all" | "pending" | "completed"
  completed?: boolean
  sort?: "created" | "created_at" | "title"
  order?: "asc" | "desc"
  limit?: number
  cursor?: string
  /** Only tasks whose title or description contains this text, ignoring case. */
  q?: string
}

export interface TaskStats {
  total: number
  pending: number
  completed: number
}

export interface CallOptions {
  /** Change the task only if it still has this version: a task that was read before, or an ETag. */
  ifMatch?: string | { updated_at: string }
  headers?: HeadersInit
  signal?: AbortSignal
  /** Let the request continue when the user leaves the page. */
  keepalive?: boolean
}

/** The options of `callTasks`: those of `fetch`, and whether the request can be repeated safely. */
export interface CallInit extends RequestInit {
  repeatable?: boolean
}

/** An error response, or no response at all (status 0). `message` is a sentence for a person. */
export class TasksError extends Error {
  status: number
  /** A code of the service, or of this client, or such as HTTP_502 for an error of a proxy. */
  code: string
  detail: string
  /** What is wrong with each field, if the code is VALIDATION_ERROR. */
  errors: { field: string; message: string }[]
  /** Seconds to wait before the next attempt. */
  retryAfter: number | undefined

  constructor(status: number, body: Partial<TasksError>, retryAfter?: number) {
    const detail = body.detail ?? `The service responded with status ${status}.`
    super(detail)
    this.name = "TasksError"
    this.status = status
    this.code = body.code ?? `HTTP_${status}`
    this.detail = detail
    this.errors = body.errors ?? []
    this.retryAfter = retryAfter
  }
}

interface Login {
  token: string
  user: string
  renewAt: number
}

/** The session of one user, until `forget`. A call stays in the session in which it began. */
type Session = { login?: Login; renewal?: Promise<Login> }

const RETRIES = 2
const LONGEST_WAIT = 30 // seconds; the service's longest `Retry-After`, after a key rotation
const PASSING = [0, 429, 502, 503, 504] // a later attempt may succeed; 0: no response
const REPEATABLE = ["GET", "HEAD", "PUT", "DELETE"]
const UNREACHABLE = {
  code: "NETWORK_ERROR",
  detail: "The service can't be reached. Check your connection and try again.",
}
const NOT_THE_SERVICE = {
  code: "NOT_THE_SERVICE",
  detail: "The address of the service leads to something else.",
}
const LOG_IN = { code: "NOT_AUTHENTICATED", detail: "Log in again." }

export interface Client {
  url: string
  /** Requests a JWT for the user who is logged in. Throws an error of `status` 401 if nobody is. */
  token: () => Promise<string>
  /** How often a call is repeated at most. Use 0 if the page repeats calls itself. */
  retries?: number
}

/** Creates a client of the service at `url`. */
export function createTasks({ url, token, retries = RETRIES }: Client) {
  let session: Session = {}

  /** Forgets the user: no earlier call sends again. Call this when the user logs out or changes. */
  function forget(): void {
    session = {}
  }

  function check(mine: Session): void {
    if (mine !== session) throw new TasksError(401, LOG_IN)
  }

  /** Returns the cached login, or a new one, which concurrent calls share. */
  async function logIn(mine: Session): Promise<Login> {
    if (mine.login && Date.now() < mine.login.renewAt) return mine.login
    return (mine.renewal ??= renew(mine).finally(() => delete mine.renewal))
  }

  async function renew(mine: Session): Promise<Login> {
    const login = await token().then(readToken).catch(loginError)
    if (mine.login && mine.login.user !== login.user) throw new TasksError(401, LOG_IN)
    return (mine.login = login)
  }

  async function attempt(mine: Session, path: string, init: RequestInit): Promise<Response> {
    check(mine)
    const login = await logIn(mine)
    check(mine) // again, because the user may have logged out in the meantime
    const headers = new Headers(init.headers)
    headers.set("Authorization", `Bearer ${login.token}`)
    if (init.body && !headers.has("Content-Type")) headers.set("Content-Type", "application/json")
    const address = `${url}/api/${encodeURIComponent(login.user)}/tasks${path}`
    const response = await fetch(address, { ...init, headers }).catch(networkError)
    if (response.status === 401) login.renewAt = 0
    return response
  }

  /** Sends a request, and sends it again with a new token if the response is a 401. */
  async function send(mine: Session, path: string, init: RequestInit): Promise<Response> {
    const response = await attempt(mine, path, init)
    return response.status === 401 ? attempt(mine, path, init) : response
  }

  /** Returns the response and the number of repetitions. */
  async function exchange(path: string, init: CallInit): Promise<[Response, number]> {
    const mine = session
    const { repeatable = isRepeatable(init), ...rest } = init
    for (let repeated = 0; ; repeated++) {
      const result = await send(mine, path, rest).catch((error: TasksError) => error)
      const wait = secondsToWait(result, repeated)
      if (repeatable && repeated < retries && wait <= LONGEST_WAIT) await pause(wait, init.signal)
      else if (result instanceof Response) return [result, repeated]
      else throw result
    }
  }

  /** Like `fetch`, with the user's token. `path` is the part after /api/{user_id}/tasks. */
  async function call(path = "", init: CallInit = {}): Promise<Response> {
    return (await exchange(path, init))[0]
  }

  async function json<T>(path: string, options: CallOptions, init: CallInit = {}): Promise<T> {
    const response = await call(path, withOptions(init, options))
    if (!response.ok) throw await errorOf(response)
    return response.json().catch((error) => {
      if (error instanceof SyntaxError) throw new TasksError(response.status, NOT_THE_SERVICE)
      return networkError(error)
    })
  }

  function list(query: ListQuery = {}, options: CallOptions = {}): Promise<TaskList> {
    const given = Object.entries(query).filter(([, value]) => value !== undefined)
    const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)]))
    return json(given.length ? `?${text}` : "", options)
  }

  /** Yields one page after another, for infinite scrolling. */
  async function* pages(query: ListQuery = {}, options: CallOptions = {}) {
    const mine = session
    const wanted: ListQuery = { limit: 50, ...query }
    for (;;) {
      check(mine)
      const page = await list(wanted, options)
      yield page
      if (page.next_cursor === null) return
      wanted.cursor = page.next_cursor
    }
  }

  /** Creates a task. Because of its key, a repeated request does not create a second task. */
  function create(task: NewTask, options: CallOptions = {}): Promise<Task> {
    const headers = new Headers(options.headers)
    if (!headers.has("Idempotency-Key")) headers.set("Idempotency-Key", newKey())
    return json("", { ...options, headers }, { method: "POST", body: JSON.stringify(task) })
  }

  function get(id: number, options: CallOptions = {}): Promise<Task> {
    return json(`/${id}`, options)
  }

  function update(id: number, changes: TaskChanges, options: CallOptions = {}): Promise<Task> {
    return json(`/${id}`, options, { method: "PUT", body: JSON.stringify(changes) })
  }

  /** Ticks or unticks a task. Unlike a toggle, this can be repeated. */
  function setCompleted(id: number, completed: boolean, options: CallOptions = {}): Promise<Task> {
    const body = JSON.stringify({ completed })
    return json(`/${id}/complete`, options, { method: "PATCH", body, repeatable: true })
  }

  async function remove(id: number, options: CallOptions = {}): Promise<void> {
    const init = withOptions({ method: "DELETE" }, options)
    const [response, repeated] = await exchange(`/${id}`, init)
    if (repeated && response.status === 404) return // an earlier attempt had removed it
    if (!response.ok) throw await errorOf(response)
  }

  /** Counts the user's tasks. */
  function stats(options: CallOptions = {}): Promise<TaskStats> {
    return json("/stats", options)
  }

  /** Deletes the completed tasks for good. */
  function clearCompleted(options: CallOptions = {}): Promise<{ deleted: number }> {
    return json("?status=completed", options, { method: "DELETE" })
  }

  /** Deletes all tasks of the user for good. */
  function removeAll(options: CallOptions = {}): Promise<{ deleted: number }> {
    return json("?status=all", options, { method: "DELETE" })
  }

  const several = { list, pages, stats, clearCompleted, removeAll }
  return { call, forget, create, get, update, setCompleted, remove, ...several }
}

/** Reads the user and the lifetime from a token, which only the service verifies. */
function readToken(token: string): Login {
  const base64 = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/")
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
  const { sub, iat, exp } = JSON.parse(new TextDecoder().decode(bytes))
  const now = Date.now()
  // Only the lifetime is read, because the clock of the user's machine may be wrong.
  return { token, user: sub, renewAt: now + (exp - (iat ?? now / 1000)) * 900 }
}

function loginError(error: unknown): never {
  const { status = 0 } = error as { status?: number }
  const detail = "The login can't be checked at the moment. Try again."
  if (status !== 401) throw new TasksError(status, { code: "AUTH_UNAVAILABLE", detail })
  throw new TasksError(401, LOG_IN)
}

/** Converts the TypeError of a network failure. Throws other errors, such as an abort, as is. */
function networkError(error: unknown): never {
  throw error instanceof TypeError ? new TasksError(0, UNREACHABLE) : error
}

async function errorOf(response: Response): Promise<TasksError> {
  const body = await response.json().catch(() => ({})) // a proxy may have sent HTML
  return new TasksError(response.status, body, retryAfterOf(response))
}

/** Returns the seconds. Ignores a date, which a proxy may send. */
function retryAfterOf(response: Response): number | undefined {
  const value = response.headers.get("Retry-After") ?? ""
  return /^\d+$/.test(value) ? Number(value) : undefined
}

function isRepeatable({ method = "GET", headers }: RequestInit): boolean {
  if (REPEATABLE.includes(method.toUpperCase())) return true
  const sent = new Headers(headers)
  return sent.has("Idempotency-Key") || sent.has("If-Match")
}

/** Returns the seconds to wait before a repetition, or Infinity if repeating would not help. */
function secondsToWait(result: Response | TasksError, repeated: number): number {
  if (!PASSING.includes(result.status)) return Infinity
  const asked = result instanceof Response ? retryAfterOf(result) : undefined
  return asked ?? 2 ** repeated
}

/** Waits up to a quarter longer than `seconds`, so that clients do not all retry at once. */
function pause(seconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", end)
      if (signal?.aborted) reject(signal.reason)
      else resolve()
    }
    const timer = setTimeout(end, seconds * (1000 + 250 * Math.random()))
    signal?.addEventListener("abort", end)
    if (signal?.aborted) end() // because an aborted signal sends no further event
  })
}

function withOptions(init: CallInit, options: CallOptions): CallInit {
  const { ifMatch, headers, signal, keepalive = false } = options
  const sent = new Headers(headers)
  const etag = typeof ifMatch === "object" ? `"${ifMatch.updated_at}"` : ifMatch
  if (etag) sent.set("If-Match", etag)
  return { ...init, headers: sent, keepalive, ...(signal && { signal }) }
}

/**
 * Creates an `Idempotency-Key`. This does not use `crypto.randomUUID`, which browsers offer only on
 * https and localhost.
 */
export function newKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-")
}

export const tasks = createTasks({ url: apiUrl, token })

/** Like `fetch`, as the user who is logged in. `path` is the part after /api/{user_id}/tasks. */
export const callTasks = tasks.call
