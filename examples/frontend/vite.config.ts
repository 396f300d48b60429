import react from "@vitejs/plugin-react"
import { defineConfig, type ProxyOptions } from "vite"

const { API_URL, AUTH_URL, PORT } = process.env

/** Passes requests on to `target`. If it is not running, the response is 502, as with nginx. */
function to(target: string): ProxyOptions {
  return {
    target,
    configure: (proxy) =>
      proxy.on("error", (_error, _request, response) => {
        if ("writeHead" in response && !response.headersSent) response.writeHead(502).end()
      }),
  }
}

// With one origin, no request needs CORS or a preflight. The first path that matches is used.
const server = {
  port: Number(PORT ?? 5173),
  strictPort: true,
  proxy: {
    "/api/auth": to(AUTH_URL ?? "http://127.0.0.1:3001"),
    "/api": to(API_URL ?? "http://127.0.0.1:8000"),
  },
}

export default defineConfig({ plugins: [react()], server, preview: server })
