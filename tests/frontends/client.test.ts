// tasks.ts against the service, through a proxy that can refuse requests and lose responses.
import assert from "node:assert/strict"
import { createHmac } from "node:crypto"
import { getEventListeners } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { type AddressInfo } from "node:net"
import { after, describe, test } from "node:test"
import { createTasks, TasksError } from "./tasks"

const HOP_BY_HOP = ["connection", "content-length", "host", "keep-alive", "transfer-encoding"]
const { SECRET = "", SERVICE_URL = "" } = process.env

/** A response in place of the service's, or "lost" to drop the service's response. */
type Fault = { status: number; body?: string; headers?: Record<string, string> } | "lost"

function jwt(user: string, seconds: number, secret = SECRET, others = {}): string {
  const iat = Math.floor(Date.now() / 1000)
  const claims = { sub: user, iat, exp: iat + seconds, ...others }
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url")
  const signed = `${encode({ alg: "HS256" })}.${encode(claims)}`
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ""
  for await (const part of request) text += part
  return text
}

const good = (user: string) => jwt(user, 900)
const wrong = (user: string) => jwt(user, 900, "another secret".repeat(3))
const over = (user: string) => jwt(user, 0)
const bob = () => jwt("bob", 900)
const fails = (status: number) => () => {
  throw { status }
}
const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds))

let users = 0

/** Makes a client of a new user. `seen` and `headers` are what the proxy received. */
async function client(faults: Fault[] = [], tokens: ((user: string) => string)[] = []) {
  const user = `user ${process.pid}/${users++} é`
  const seen: string[] = []
  const headers: IncomingMessage["headers"][] = []
  const requested = { tokens: 0 }

  async function serve(request: IncomingMessage, response: ServerResponse) {
    seen.push(`${request.method} ${request.url!.split("/tasks")[1]}`)
    headers.push(request.headers)
    const body = await textOf(request)
    const fault = faults.shift()
    if (fault && fault !== "lost")
      return response.writeHead(fault.status, fault.headers).end(fault.body)
    const { method = "" } = request
    const kept = Object.entries(request.headers).filter(([name]) => !HOP_BY_HOP.includes(name))
    const sent = Object.fromEntries(kept) as Record<string, string>
    const init = { method, headers: sent, ...(body && { body }) }
    const answer = await fetch(SERVICE_URL + request.url, init)
    if (fault === "lost") return request.socket.destroy()
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text())
  }

  const proxy = createServer(serve).listen(0, "127.0.0.1")
  await new Promise((listening) => proxy.once("listening", listening))
  after(() => (proxy.close(), proxy.closeAllConnections()))
  const token = async () => {
    const make = tokens[requested.tokens++] ?? good
    await pause(20)
    return make(user)
  }
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  return { tasks: createTasks({ url, token }), url, token, seen, headers, requested, user }
}

const isError = (expected: Partial<TasksError>) => (error: unknown) => {
  assert.ok(error instanceof TasksError)
  for (const [name, value] of Object.entries(expected))
    assert.deepEqual(error[name as keyof TasksError], value)
  return true
}
const isOver = isError({ status: 401, code: "NOT_AUTHENTICATED" })
const busy = (status: number, seconds = "1") => ({
  status,
  headers: { "Retry-After": seconds },
  body: JSON.stringify({ code: "OVERLOADED", detail: "Try again." }),
})

describe("tasks.ts", { concurrency: true }, () => {
  test("runs every operation", async () => {
    const { tasks, user } = await client()
    const task = await tasks.create({ title: "Buy milk", description: "Two litres" })
    assert.deepEqual([task.user_id, task.title, task.completed], [user, "Buy milk", false])
    assert.deepEqual(await tasks.get(task.id), task)
    const list = await tasks.list({ status: "pending", sort: "title", order: "asc", limit: 10 })
    assert.deepEqual(list, { tasks: [task], count: 1, next_cursor: null })
    const updated = await tasks.update(task.id, { description: null })
    assert.deepEqual([updated.title, updated.description], ["Buy milk", null])
    for (const completed of [true, true, false])
      assert.equal((await tasks.setCompleted(task.id, completed)).completed, completed)
    assert.equal(await tasks.remove(task.id), undefined)
    await assert.rejects(tasks.get(task.id), isError({ status: 404, code: "TASK_NOT_FOUND" }))
    await assert.rejects(tasks.remove(task.id), isError({ status: 404, code: "TASK_NOT_FOUND" }))
  })

  test("reports what is wrong with the input", async () => {
    const { tasks } = await client()
    await assert.rejects(tasks.create({ title: " " }), (error: TasksError) => {
      assert.deepEqual([error.status, error.code], [400, "VALIDATION_ERROR"])
      assert.equal(error.errors[0]?.field, "body.title")
      assert.equal(error.message, error.detail)
      return true
    })
  })

  test("reports that the address is not that of the service", async () => {
    const { tasks } = await client([{ status: 200, body: "<!doctype html>" }])
    await assert.rejects(tasks.list(), isError({ status: 200, code: "NOT_THE_SERVICE" }))
  })

  test("yields every page", async () => {
    const { tasks, seen } = await client()
    for (const title of ["c", "a", "e", "b", "d"]) await tasks.create({ title })
    const titles: string[][] = []
    for await (const page of tasks.pages({ sort: "title", limit: 2 }))
      titles.push(page.tasks.map((task) => task.title))
    assert.deepEqual(titles, [["a", "b"], ["c", "d"], ["e"]])
    assert.equal(seen.filter((request) => request.startsWith("GET")).length, 3)
  })

  test("requests one token for many calls", async () => {
    const { tasks, requested } = await client()
    await Promise.all([1, 2, 3, 4, 5].map(() => tasks.list()))
    for (let call = 0; call < 20; call++) await tasks.list()
    assert.equal(requested.tokens, 1)
  })

  test("keeps using a token without iat", async () => {
    const undated = (user: string) => jwt(user, 900, SECRET, { iat: undefined })
    const { tasks, requested } = await client([], [undated])
    for (let call = 0; call < 3; call++) await tasks.list()
    assert.equal(requested.tokens, 1)
  })

  test("renews a token before it expires, once for all calls", async () => {
    const { tasks, requested } = await client([], [(user) => jwt(user, 2), good])
    await tasks.list()
    await pause(1850)
    await Promise.all([1, 2, 3, 4, 5].map(() => tasks.list()))
    assert.equal(requested.tokens, 2)
  })

  test("renews a token that the service refuses, once for all calls", async () => {
    const { tasks, requested, seen } = await client([], [wrong, good])
    await Promise.all([1, 2, 3, 4, 5].map(() => tasks.list()))
    assert.deepEqual([requested.tokens, seen.length], [2, 10])
  })

  test("renews a refused token only once per call", async () => {
    const { tasks, seen } = await client([], [wrong, wrong, wrong])
    await assert.rejects(tasks.list(), isError({ status: 401, code: "INVALID_TOKEN" }))
    assert.equal(seen.length, 2)
  })

  test("forgets the user", async () => {
    const { tasks, requested } = await client([], [() => jwt("alice", 900), bob])
    const task = await tasks.create({ title: "Hers" })
    tasks.forget()
    await assert.rejects(tasks.get(task.id), isError({ status: 403, code: "FORBIDDEN" }))
    assert.equal(requested.tokens, 2)
  })

  for (const fault of [{ status: 401 }, busy(503, "0"), "lost"] as const)
    test(`sends nothing as another user before forget(): ${JSON.stringify(fault)}`, async () => {
      const { tasks, seen } = await client([fault], [over, bob, bob])
      await assert.rejects(tasks.create({ title: "Hers" }), isOver)
      await assert.rejects(tasks.create({ title: "Hers too" }), isOver)
      assert.deepEqual(seen, ["POST "])
      tasks.forget()
      await tasks.list()
      assert.deepEqual(seen, ["POST ", "GET "])
    })

  test("sends nothing if the user is forgotten while the first token is requested", async () => {
    const { tasks, seen, requested } = await client()
    const begun = [tasks.create({ title: "x" }), tasks.list()]
    tasks.forget()
    const next = tasks.list()
    for (const call of begun) await assert.rejects(call, isOver)
    await next
    assert.deepEqual([requested.tokens, seen], [2, ["GET "]])
  })

  test("sends nothing again if the user is forgotten while a token is renewed", async () => {
    const again = (user: string) => (tasks.forget(), good(user))
    const { tasks, seen } = await client([{ status: 401 }], [good, again])
    await assert.rejects(tasks.create({ title: "x" }), isOver)
    assert.equal(seen.length, 1)
  })

  test("sends nothing again if the user is forgotten during a pause", async () => {
    const { tasks, seen, requested } = await client([busy(503), busy(503)], [over, bob])
    const begun = [tasks.create({ title: "x" }), tasks.remove(1)]
    const ended = Promise.all(begun.map((call) => assert.rejects(call, isOver)))
    while (seen.length < 2) await pause(20)
    tasks.forget()
    await tasks.list()
    await ended
    assert.deepEqual([requested.tokens, seen.length], [2, 3])
  })

  for (const change of ["forget", "another login"])
    test(`does not continue pages() as the next user: ${change}`, async () => {
      const faults: Fault[] = []
      const { tasks, seen } = await client(faults, [good, bob])
      for (const title of ["a", "b"]) await tasks.create({ title })
      const pages = tasks.pages({ limit: 1 })
      await pages.next()
      if (change === "forget") tasks.forget()
      else faults.push({ status: 401 })
      const before = seen.length
      await assert.rejects(pages.next(), isOver)
      assert.equal(seen.length - before, change === "forget" ? 0 : 1)
    })

  test("reports that nobody is logged in, or that the login can't be checked", async () => {
    const fail = (error: unknown) => createTasks({ url: SERVICE_URL, token: () => Promise.reject(error) })
    const noToken = createTasks({ url: SERVICE_URL, token: async () => "no token" })
    await Promise.all([
      assert.rejects(fail({ status: 401 }).list(), isError({ status: 401, code: "NOT_AUTHENTICATED" })),
      assert.rejects(fail({ status: 429 }).list(), isError({ status: 429, code: "AUTH_UNAVAILABLE" })),
      assert.rejects(fail(new TypeError()).list(), isError({ status: 0, code: "AUTH_UNAVAILABLE" })),
      assert.rejects(noToken.list(), isError({ status: 0, code: "AUTH_UNAVAILABLE" })),
    ])
  })

  test("waits as long as Retry-After says", async () => {
    const { tasks, seen } = await client([busy(503, "1"), busy(429, "0")])
    const start = Date.now()
    assert.equal((await tasks.list()).count, 0)
    assert.equal(seen.length, 3)
    assert.ok(Date.now() - start >= 1000)
  })

  test("gives up after two retries", async () => {
    const { tasks, seen } = await client(Array.from({ length: 9 }, () => busy(429, "0")))
    const expected = { status: 429, code: "OVERLOADED", detail: "Try again.", retryAfter: 0 }
    await assert.rejects(tasks.list(), isError(expected))
    assert.equal(seen.length, 3)
  })

  test("does not retry after a long Retry-After or an error that would recur", async () => {
    const { tasks, seen } = await client([busy(503, "31"), { status: 500, body: "<html>" }])
    await assert.rejects(tasks.list(), isError({ status: 503, retryAfter: 31 }))
    await assert.rejects(tasks.list(), isError({ status: 500, code: "HTTP_500", retryAfter: undefined }))
    assert.equal(seen.length, 2)
  })

  test("creates one task if the response is lost", async () => {
    const { tasks, seen, headers } = await client(["lost"])
    const task = await tasks.create({ title: "Once" })
    assert.deepEqual((await tasks.list()).tasks, [task])
    assert.deepEqual(seen, ["POST ", "POST ", "GET "])
    assert.equal(headers[0]?.["idempotency-key"], headers[1]?.["idempotency-key"])
  })

  test("retries completing and removing when the response is lost", async () => {
    const faults: Fault[] = []
    const { tasks, seen } = await client(faults)
    const { id } = await tasks.create({ title: "x" })
    faults.push("lost")
    assert.equal((await tasks.setCompleted(id, true)).completed, true)
    faults.push("lost")
    await tasks.remove(id)
    assert.deepEqual(seen.slice(1), Array(2).fill(`PATCH /${id}/complete`).concat(Array(2).fill(`DELETE /${id}`)))
  })

  test("accepts a method in lower case, as fetch does", async () => {
    const faults: Fault[] = []
    const { tasks, seen } = await client(faults)
    const { id } = await tasks.create({ title: "x" })
    for (const [method, init] of [
      ["put", { body: '{"title": "y"}' }],
      ["get", {}],
      ["head", {}],
    ] as const) {
      faults.push(busy(503, "0"))
      assert.equal((await tasks.call(`/${id}`, { ...init, method })).status, 200)
    }
    faults.push(busy(503, "0"))
    assert.ok((await tasks.call(`/${id}`, { method: "delete" })).ok)
    assert.equal(seen.length, 9)
  })

  test("does not retry a call that must not run twice", async () => {
    const faults: Fault[] = []
    const { tasks, seen } = await client(faults)
    const { id } = await tasks.create({ title: "x" })
    for (const [path, init] of [
      ["", { method: "POST", body: '{"title": "y"}' }],
      [`/${id}/complete`, { method: "PATCH" }],
    ] as const) {
      faults.push("lost")
      await assert.rejects(tasks.call(path, init), isError({ status: 0, code: "NETWORK_ERROR" }))
    }
    assert.equal(seen.length, 3)
  })

  test("passes headers on", async () => {
    const { tasks } = await client()
    const headers = { "Idempotency-Key": "mine" }
    const task = await tasks.create({ title: "x" }, { headers })
    assert.deepEqual(await tasks.create({ title: "x" }, { headers }), task)
    const changed = await tasks.update(task.id, { title: "y" }, { ifMatch: task })
    const late = isError({ status: 412, code: "PRECONDITION_FAILED" })
    for (const ifMatch of [task, `"${task.updated_at}"`]) {
      await assert.rejects(tasks.update(task.id, { title: "z" }, { ifMatch }), late)
      await assert.rejects(tasks.setCompleted(task.id, true, { ifMatch }), late)
      await assert.rejects(tasks.remove(task.id, { ifMatch }), late)
    }
    const ifNoneMatch = { "If-None-Match": `"${changed.updated_at}"` }
    const response = await tasks.call(`/${task.id}`, { headers: ifNoneMatch })
    assert.equal(response.headers.get("etag"), `"${changed.updated_at}"`)
  })

  test("stops when its signal is aborted", async () => {
    const { tasks, seen } = await client([busy(503, "20")])
    const start = Date.now()
    const user = new AbortController()
    const waiting = tasks.list({}, { signal: user.signal })
    waiting.catch(() => {})
    while (seen.length === 0) await pause(20)
    await pause(100)
    user.abort()
    await assert.rejects(waiting, { name: "AbortError" })
    const aborted = tasks.list({}, { signal: AbortSignal.abort() })
    await assert.rejects(aborted, { name: "AbortError" })
    assert.ok(Date.now() - start < 10_000)
    assert.equal(seen.length, 1)
  })

  test("does not start a pause if its signal is already aborted", async () => {
    const user = new AbortController()
    const { tasks } = await client([], [() => (user.abort(), fails(503)())])
    const call = tasks.list({}, { signal: user.signal })
    const first = Promise.race([call, pause(900)]) // the pause takes a second or more
    await assert.rejects(first, { name: "AbortError" })
  })

  test("leaves no listener on its signal", async () => {
    const { signal } = new AbortController()
    const { tasks } = await client([], [fails(503), fails(401)])
    await assert.rejects(tasks.list({}, { signal }), isOver)
    assert.equal(getEventListeners(signal, "abort").length, 0)
  })
})

describe("Several tasks", () => {
  test("are counted, searched, cleared and erased", async () => {
    const { tasks } = await client()
    for (const title of ["Buy milk", "Buy tea", "Read"])
      await tasks.create({ title, completed: title === "Buy tea" })
    assert.deepEqual(await tasks.stats(), { total: 3, pending: 2, completed: 1 })
    const found = await tasks.list({ q: "BUY", sort: "title" })
    assert.deepEqual(found.tasks.map((task) => task.title), ["Buy milk", "Buy tea"])
    assert.deepEqual(await tasks.clearCompleted(), { deleted: 1 })
    assert.deepEqual(await tasks.removeAll(), { deleted: 2 })
    assert.deepEqual(await tasks.stats(), { total: 0, pending: 0, completed: 0 })
  })

  test("are requested only once by a client without retries", async () => {
    const { url, seen, token } = await client([{ status: 503 }])
    await assert.rejects(createTasks({ url, token, retries: 0 }).stats(), { status: 503 })
    assert.deepEqual(seen, ["GET /stats"])
  })
})
