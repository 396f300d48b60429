import cors from '@fastify/cors'
import jwt from '@fastify/jwt'
import Fastify from 'fastify'
import pg from 'pg'

import tasks from './tasks.js'

// By default pg returns a bigint as a string; ids stay far below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number)

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })
const app = Fastify({ logger: false })

await app.register(cors, { origin: ['http://localhost:3000'], credentials: true })
await app.register(jwt, {
  secret: process.env.BETTER_AUTH_SECRET,
  verify: { algorithms: ['HS256'] }
})
app.decorate('pool', pool)

app.get('/health', async () => {
  await pool.query('SELECT 1')
  return { status: 'healthy', database: 'connected' }
})
await app.register(tasks, { prefix: '/api/:user_id/tasks' })

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await app.close()
    await pool.end()
  })
}

await app.listen({ host: process.env.HOST ?? '127.0.0.1', port: Number(process.env.PORT ?? 8000) })
