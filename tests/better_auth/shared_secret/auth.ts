import { betterAuth } from "better-auth"
import { jwt } from "better-auth/plugins"
import { SignJWT } from "jose"
import { Pool } from "pg"

const secret = process.env.BETTER_AUTH_SECRET

export const auth = betterAuth({
  baseURL: process.env.BETTER_AUTH_URL,
  secret,
  database: new Pool({ connectionString: process.env.DATABASE_URL }),
  emailAndPassword: { enabled: true },
  plugins: [
    jwt({
      // The plugin wants these when it does not sign by itself. Nothing is fetched from there.
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
