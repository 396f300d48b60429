import { jwtClient } from "better-auth/client/plugins"
import { createAuthClient } from "better-auth/react"

export const apiUrl: string = import.meta.env.VITE_API_URL

export const authClient = createAuthClient({ plugins: [jwtClient()] })

/** Requests a JWT of the user who is logged in. */
export async function token(): Promise<string> {
  const { data, error } = await authClient.token({ query: {} })
  if (error) throw error
  return data.token
}
