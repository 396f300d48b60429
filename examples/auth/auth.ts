import { betterAuth } from "better-auth"
import { jwt } from "better-auth/plugins"
import { Pool } from "pg"
import { eraseTasks } from "./erase-tasks"

const database = new Pool({ connectionString: process.env.DATABASE_URL })
// Without a listener, Node ends the process when Postgres closes an idle connection.
database.on("error", (error) => console.error(error.message))

export const auth = betterAuth({
  baseURL: process.env.BETTER_AUTH_URL,
  secret: process.env.BETTER_AUTH_SECRET,
  database,
  emailAndPassword: { enabled: true },
  // The tasks go first. If that fails, the account stays, and the user can try again.
  user: { deleteUser: { enabled: true, beforeDelete: async ({ id }) => eraseTasks(id, await tokenFor(id)) } },
  plugins: [jwt()],
})

/** Signs a token for a user, as `/api/auth/token` does for the user who is signed in. */
async function tokenFor(userId: string): Promise<string> {
  const { token } = await auth.api.signJWT({ body: { payload: { sub: userId } } })
  return token
}
