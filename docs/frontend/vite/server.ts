import { createServer } from "node:http"
import { toNodeHandler } from "better-auth/node"
import { auth } from "./auth"

createServer(toNodeHandler(auth))
  .on("error", (error) => {
    console.error(`Better Auth can't start: ${error.message}`)
    process.exit(1)
  })
  .listen(3001, "127.0.0.1", () => console.log("Better Auth listens on http://127.0.0.1:3001"))
