import { createServer } from "node:http"
import { toNodeHandler } from "better-auth/node"
import { auth } from "./auth"

const handle = toNodeHandler(auth)
const port = Number(process.env.PORT ?? 3001)
const host = process.env.HOST ?? "127.0.0.1"

const server = createServer((request, response) =>
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
  .listen(port, host, () => console.log(`Better Auth listens on http://${host}:${port}`))

// As the first process of a container, Node ignores a signal that has no handler.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
  process.once(signal, () => server.close(() => process.exit()))
}
