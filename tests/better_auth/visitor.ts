// A browser's part of the frontend, without the browser: keeps cookies, and does what a user does.
export {}

const jar = new Map<string, string>()
const send = globalThis.fetch

globalThis.fetch = async (input, init) => {
  const request = new Request(input, init)
  if (request.url.startsWith(process.env.NEXT_PUBLIC_BETTER_AUTH_URL!)) {
    request.headers.set("Cookie", [...jar].map(([name, value]) => `${name}=${value}`).join("; "))
    request.headers.set("Origin", process.env.NEXT_PUBLIC_BETTER_AUTH_URL!)
  }
  const response = await send(request)
  for (const cookie of response.headers.getSetCookie()) {
    const [name, value] = cookie.split(";")[0].split("=", 2)
    jar.set(name, value)
  }
  return response
}

const { authClient } = await import("./auth-client")
const { callTasks, logOut } = await import("./tasks")

const email = "visitor@example.com"
const signedUp = await authClient.signUp.email({ email, password: "correct horse", name: "V" })
const body = JSON.stringify({ title: "Buy milk" })
const created = await callTasks("", { method: "POST", body })
const listed = await callTasks()
await logOut()
const loggedOut = await callTasks().catch((error: Error) => error.message)
console.log(
  JSON.stringify({
    user: signedUp.data?.user.id,
    created: [created.status, (await created.json()).title],
    listed: [listed.status, (await listed.json()).count],
    loggedOut,
  }),
)
