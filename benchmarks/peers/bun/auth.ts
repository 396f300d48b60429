import { jwt } from '@elysiajs/jwt'
import { Elysia } from 'elysia'

// Import the key once; otherwise jose imports it for each token.
const secret = await crypto.subtle.importKey(
  'raw',
  new TextEncoder().encode(process.env.BETTER_AUTH_SECRET),
  { name: 'HMAC', hash: 'SHA-256' },
  false,
  ['verify']
)

/** Resolves `userId`, the user of the token, who must be the user in the path. */
export const auth = new Elysia({ name: 'auth' })
  .use(jwt({ secret, alg: 'HS256' }))
  .resolve({ as: 'scoped' }, async ({ headers, jwt, params, status }) => {
    const [scheme, token] = headers.authorization?.split(' ') ?? []
    const claims = scheme === 'Bearer' && await jwt.verify(token, { algorithms: ['HS256'] })
    if (!claims) return status(401, { detail: 'Invalid or expired token' })
    if (claims.sub !== (params as { user_id: string }).user_id) {
      return status(403, { detail: 'Not your tasks' })
    }
    return { userId: claims.sub as string }
  })
