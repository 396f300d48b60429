import { betterAuth } from "better-auth"
import { jwt } from "better-auth/plugins"
import { Pool } from "pg"

const database = new Pool({ connectionString: process.env.DATABASE_URL })
// Without a listener, Node ends the process when Postgres closes an idle connection.
database.on("error", (error) => console.error(error.message))

export const auth = betterAuth({
  baseURL: process.env.BETTER_AUTH_URL,
  secret: process.env.BETTER_AUTH_SECRET,
  database,
  emailAndPassword: { enabled: true },
  plugins: [jwt()],
})
