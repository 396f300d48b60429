// Creates the tables of auth.ts, and serves every path that a proxy would pass on to Better Auth.
import { createServer } from "node:http"
import { getMigrations } from "better-auth/db/migration"
import { toNodeHandler } from "better-auth/node"
import { auth } from "./auth"

const { runMigrations } = await getMigrations(auth.options)
await runMigrations()
const { hostname, port } = new URL(process.env.BETTER_AUTH_URL!)
createServer(toNodeHandler(auth)).listen(Number(port), hostname, () => console.log("listening"))
