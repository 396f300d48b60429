import { getMigrations } from "better-auth/db/migration"
import { auth } from "./auth"

const { runMigrations } = await getMigrations(auth.options)
await runMigrations()
process.exit()
