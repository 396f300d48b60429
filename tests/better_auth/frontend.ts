// Serve auth.ts. WANTED, as JSON, overrides parts of it: {options, plugin, jwks, jwt}.
import { createServer } from "node:http"
import { betterAuth } from "better-auth"
import { toNodeHandler } from "better-auth/node"
import { jwt, type JwtOptions } from "better-auth/plugins"
import { auth as documented } from "./auth"

const wanted = JSON.parse(process.env.WANTED ?? "null")
const given: JwtOptions = documented.options.plugins[0].options ?? {}

function overridden() {
  return betterAuth({
    ...documented.options,
    ...wanted.options,
    emailVerification: {
      sendVerificationEmail: async ({ token }: { token: string }) => console.log(token),
    },
    plugins: [
      jwt({
        ...given,
        ...wanted.plugin,
        jwks: { ...given.jwks, ...wanted.jwks },
        jwt: { ...given.jwt, ...wanted.jwt },
      }),
    ],
  })
}

const server = createServer(toNodeHandler(wanted ? overridden() : documented))
const { hostname, port } = new URL(process.env.BETTER_AUTH_URL!)
server.listen(Number(port), hostname, () => console.log("listening"))
