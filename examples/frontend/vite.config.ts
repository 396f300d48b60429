import react from "@vitejs/plugin-react"
import { defineConfig, type ProxyOptions } from "vite"

const { API_URL, AUTH_URL, PORT } = process.env

/** Passes requests on. A server that does not run is a 502, as with nginx, and not Vite's 500. */
function to(target: string): ProxyOptions {
  return {
    target,
    configure: (proxy) =>
      proxy.on("error", (_error, _request, response) => {
        if ("writeHead" in response && !response.headersSent) response.writeHead(502).end()
      }),
  }
}

// One origin for all needs neither CORS nor preflights. The first that matches passes it on.
const server = {
  port: Number(PORT ?? 5173),
  strictPort: true,
  proxy: {
    "/api/auth": to(AUTH_URL ?? "http://127.0.0.1:3001"),
    "/api": to(API_URL ?? "http://127.0.0.1:8000"),
  },
}

export default defineConfig({ plugins: [react()], server, preview: server })
