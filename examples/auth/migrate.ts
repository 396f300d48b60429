import { getMigrations } from "better-auth/db/migration"
import { auth } from "./auth"

getMigrations(auth.options)
  .then(({ runMigrations }) => runMigrations())
  .then(() => console.log("Better Auth's tables are ready."))
  .then(() => process.exit())
