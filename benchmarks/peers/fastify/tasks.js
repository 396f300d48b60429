import * as schemas from './schemas.js'

const COLUMNS = 'id, user_id, title, description, completed, created_at, updated_at'
const LIST = `SELECT ${COLUMNS} FROM tasks WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2`
const SEARCH = `SELECT ${COLUMNS} FROM tasks
  WHERE user_id = $1 AND (title ILIKE $3 OR description ILIKE $3)
  ORDER BY created_at DESC LIMIT $2`
const STATS = `SELECT count(*) AS total, count(*) FILTER (WHERE NOT completed) AS pending,
  count(*) FILTER (WHERE completed) AS completed FROM tasks WHERE user_id = $1`
const GET = `SELECT ${COLUMNS} FROM tasks WHERE id = $1 AND user_id = $2`
const CREATE = `INSERT INTO tasks (user_id, title, description) VALUES ($1, $2, $3) RETURNING ${COLUMNS}`
const TOGGLE = `UPDATE tasks SET completed = NOT completed, updated_at = now()
  WHERE id = $1 AND user_id = $2 RETURNING ${COLUMNS}`
const DELETE = 'DELETE FROM tasks WHERE id = $1 AND user_id = $2'

function pattern (q) {
  return `%${q.replace(/[\\%_]/g, '\\$&')}%`
}

function update (body) {
  const names = Object.keys(body)
  const assignments = names.map((name, index) => `${name} = $${index + 3}, `).join('')
  const text = `UPDATE tasks SET ${assignments}updated_at = now()
    WHERE id = $1 AND user_id = $2 RETURNING ${COLUMNS}`
  return [text, Object.values(body)]
}

export default async function tasks (app) {
  const { pool } = app

  app.addHook('onRequest', async (request, reply) => {
    await request.jwtVerify()
    if (request.user.sub !== request.params.user_id) {
      return reply.code(403).send({ detail: 'Not your tasks' })
    }
  })

  async function one (reply, text, values) {
    const { rows } = await pool.query(text, values)
    return rows.length ? rows[0] : reply.code(404).send({ detail: 'Task not found' })
  }

  app.get('/', { schema: schemas.list }, async (request) => {
    const { limit = null, q } = request.query
    const { rows } = q === undefined
      ? await pool.query(LIST, [request.user.sub, limit])
      : await pool.query(SEARCH, [request.user.sub, limit, pattern(q)])
    return { tasks: rows, count: rows.length }
  })

  app.get('/stats', { schema: schemas.stats }, async (request) => {
    const { rows } = await pool.query(STATS, [request.user.sub])
    return rows[0]
  })

  app.post('/', { schema: schemas.create }, async (request, reply) => {
    const { title, description = null } = request.body
    reply.code(201)
    return one(reply, CREATE, [request.user.sub, title, description])
  })

  app.get('/:id', { schema: schemas.read }, async (request, reply) =>
    one(reply, GET, [request.params.id, request.user.sub]))

  app.put('/:id', { schema: schemas.update }, async (request, reply) => {
    const [text, values] = update(request.body)
    return one(reply, text, [request.params.id, request.user.sub, ...values])
  })

  app.patch('/:id/complete', { schema: schemas.read }, async (request, reply) =>
    one(reply, TOGGLE, [request.params.id, request.user.sub]))

  app.delete('/:id', { schema: schemas.remove }, async (request, reply) => {
    const { rowCount } = await pool.query(DELETE, [request.params.id, request.user.sub])
    return reply.code(rowCount ? 204 : 404).send()
  })
}
