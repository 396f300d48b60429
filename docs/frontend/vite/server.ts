import { createServer } from "node:http"
import { toNodeHandler } from "better-auth/node"
import { auth } from "./auth"

const handle = toNodeHandler(auth)

createServer((request, response) =>
  // It fails if the database can't be reached, and works again when the database does.
  handle(request, response).catch((error: NodeJS.ErrnoException) => {
    console.error(error.message || error.code)
    // Better Auth does not look again for tables that were missing.
    if (error.code === "SCHEMA_MISMATCH") process.exit(1)
    if (!response.headersSent) response.writeHead(503)
    response.end()
  }),
)
  .on("error", (error) => {
    console.error(`Better Auth can't start: ${error.message}`)
    process.exit(1)
  })
  .listen(3001, "127.0.0.1", () => console.log("Better Auth listens on http://127.0.0.1:3001"))
