import { createServer } from "node:http"
import { toNodeHandler } from "better-auth/node"
import { auth } from "./auth"

const port = Number(process.env.PORT ?? 3001)
const host = process.env.HOST ?? "127.0.0.1"

const server = createServer(toNodeHandler(auth))
  .on("error", (error) => {
    console.error(`Better Auth can't start: ${error.message}`)
    process.exit(1)
  })
  .listen(port, host, () => console.log(`Better Auth listens on http://${host}:${port}`))

// As the first process of a container, Node ignores a signal that has no handler.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
  process.once(signal, () => server.close(() => process.exit()))
}
