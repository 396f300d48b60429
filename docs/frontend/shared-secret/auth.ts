import { betterAuth } from "better-auth"
import { jwt } from "better-auth/plugins"
import { SignJWT } from "jose"
import { Pool } from "pg"

const secret = process.env.BETTER_AUTH_SECRET
const database = new Pool({ connectionString: process.env.DATABASE_URL })
// Without a listener, Node ends the process when Postgres closes an idle connection.
database.on("error", (error) => console.error(error.message))

export const auth = betterAuth({
  baseURL: process.env.BETTER_AUTH_URL,
  secret,
  database,
  emailAndPassword: { enabled: true },
  plugins: [
    jwt({
      // The plugin requires these options in addition to `sign`, but sends no request to this URL.
      jwks: {
        remoteUrl: `${process.env.BETTER_AUTH_URL}/api/auth/jwks`,
        keyPairConfig: { alg: "EdDSA" },
      },
      jwt: {
        sign: (payload) =>
          new SignJWT(payload)
            .setProtectedHeader({ alg: "HS256", typ: "JWT" })
            .sign(new TextEncoder().encode(secret)),
      },
    }),
  ],
})
