import { authClient } from "./auth-client"

let known: { user: string; token: string } | undefined

async function newToken(): Promise<string> {
  const { data, error } = await authClient.token()
  if (error) throw new Error("Log in first.")
  return data.token
}

/** Calls the API as whoever is logged in. `path` is what follows /api/{user_id}/tasks. */
export async function callTasks(path = "", init: RequestInit = {}): Promise<Response> {
  const { data: session } = await authClient.getSession()
  if (!session) throw new Error("Log in first.")
  const { user } = session
  const url = `${process.env.NEXT_PUBLIC_API_URL}/api/${encodeURIComponent(user.id)}/tasks${path}`

  async function send(): Promise<Response> {
    if (known?.user !== user.id) known = { user: user.id, token: await newToken() }
    const headers = { "Content-Type": "application/json", Authorization: `Bearer ${known.token}` }
    return fetch(url, { ...init, headers })
  }

  const response = await send()
  if (response.status !== 401) return response
  known = undefined // it holds for 15 minutes, and the session for days
  return send()
}

/** Logs out. A token that was given out before holds until it expires. */
export async function logOut(): Promise<void> {
  known = undefined
  await authClient.signOut()
}
