import { createAuthClient } from "better-auth/client"
import { jwtClient } from "better-auth/client/plugins"

/** The URL of the service. If it is empty, the page's own server passes /api on to the service. */
export const apiUrl: string = import.meta.env.VITE_API_URL ?? ""

export const authClient = createAuthClient({ plugins: [jwtClient()] })

/** Requests a JWT of the user who is signed in. */
export async function token(): Promise<string> {
  const { data, error } = await authClient.token({ query: {} })
  if (error) throw error
  return data.token
}
