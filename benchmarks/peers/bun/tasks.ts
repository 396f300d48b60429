import { Elysia, status } from 'elysia'

import { auth } from './auth'
import { sql } from './database'
import * as schemas from './schemas'

const COLUMNS = sql.unsafe('id, user_id, title, description, completed, created_at, updated_at')

type Row = {
  id: string // a bigint; ids stay far below 2^53
  user_id: string
  title: string
  description: string | null
  completed: boolean
  created_at: Date
  updated_at: Date
}

function toTask (row: Row): typeof schemas.Task.static {
  return {
    ...row,
    id: Number(row.id),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString()
  }
}

function pattern (q: string) {
  return `%${q.replace(/[\\%_]/g, '\\$&')}%`
}

function search (userId: string, limit: number | null, like: string): Promise<Row[]> {
  return sql`
    SELECT ${COLUMNS} FROM tasks
    WHERE user_id = ${userId} AND (title ILIKE ${like} OR description ILIKE ${like})
    ORDER BY created_at DESC LIMIT ${limit}`
}

function one (rows: Row[]) {
  return rows.length ? toTask(rows[0]) : status(404, { detail: 'Task not found' })
}

export const tasks = new Elysia({ prefix: '/api/:user_id/tasks' })
  .use(auth)
  .get('/', async ({ userId, query: { limit = null, q } }) => {
    const rows: Row[] = q === undefined
      ? await sql`
        SELECT ${COLUMNS} FROM tasks WHERE user_id = ${userId}
        ORDER BY created_at DESC LIMIT ${limit}`
      : await search(userId, limit, pattern(q))
    return { tasks: rows.map(toTask), count: rows.length }
  }, schemas.list)
  .get('/stats', async ({ userId }) => {
    const [{ total, pending, completed }] = await sql`
      SELECT count(*) AS total, count(*) FILTER (WHERE NOT completed) AS pending,
        count(*) FILTER (WHERE completed) AS completed
      FROM tasks WHERE user_id = ${userId}`
    return { total: Number(total), pending: Number(pending), completed: Number(completed) }
  }, schemas.stats)
  .post('/', async ({ userId, body: { title, description = null } }) => {
    const [row] = await sql`
      INSERT INTO tasks (user_id, title, description) VALUES (${userId}, ${title}, ${description})
      RETURNING ${COLUMNS}`
    return status(201, toTask(row))
  }, schemas.create)
  .get('/:id', async ({ userId, params: { id } }) => one(await sql`
    SELECT ${COLUMNS} FROM tasks WHERE id = ${id} AND user_id = ${userId}`
  ), schemas.read)
  .put('/:id', async ({ userId, params: { id }, body }) => one(await sql`
    UPDATE tasks SET ${sql({ ...body, updated_at: new Date() })}
    WHERE id = ${id} AND user_id = ${userId} RETURNING ${COLUMNS}`
  ), schemas.update)
  .patch('/:id/complete', async ({ userId, params: { id } }) => one(await sql`
    UPDATE tasks SET completed = NOT completed, updated_at = now()
    WHERE id = ${id} AND user_id = ${userId} RETURNING ${COLUMNS}`
  ), schemas.read)
  .delete('/:id', async ({ userId, params: { id } }) => {
    const { count } = await sql`DELETE FROM tasks WHERE id = ${id} AND user_id = ${userId}`
    return count ? status(204) : status(404, { detail: 'Task not found' })
  }, schemas.remove)
