import { cors } from '@elysiajs/cors'
import { Elysia } from 'elysia'

import { sql } from './database'
import { tasks } from './tasks'

const app = new Elysia()
  .use(cors({
    origin: 'http://localhost:3000',
    credentials: true,
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: ['Authorization', 'Content-Type'],
    exposeHeaders: []
  }))
  .get('/health', async () => {
    await sql`SELECT 1`
    return { status: 'healthy', database: 'connected' }
  })
  .use(tasks)
  .listen({
    hostname: process.env.HOST ?? '127.0.0.1',
    port: Number(process.env.PORT ?? 8000)
  })

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await app.stop(true)
    await sql.close()
    process.exit()
  })
}
