import { t } from 'elysia'

const title = t.String({ minLength: 1, maxLength: 200 })
const description = t.Nullable(t.String({ maxLength: 1000 }))

// A time is a string, because checking and writing a Date takes several times as long.
export const Task = t.Object({
  id: t.Integer(),
  user_id: t.String(),
  title: t.String(),
  description: t.Nullable(t.String()),
  completed: t.Boolean(),
  created_at: t.String(),
  updated_at: t.String()
})

const user = t.Object({ user_id: t.String() })
const userAndTask = t.Object({ user_id: t.String(), id: t.Integer() })
const oneTask = { 200: Task, 404: t.Object({ detail: t.String() }) }

export const list = {
  params: user,
  query: t.Object({
    limit: t.Optional(t.Integer({ minimum: 1, maximum: 1000 })),
    q: t.Optional(t.String({ minLength: 1, maxLength: 200 }))
  }),
  response: { 200: t.Object({ tasks: t.Array(Task), count: t.Integer() }) }
}

export const stats = {
  params: user,
  response: { 200: t.Object({ total: t.Integer(), pending: t.Integer(), completed: t.Integer() }) }
}

export const create = {
  params: user,
  body: t.Object({ title, description: t.Optional(description) }),
  response: { 201: Task }
}

export const read = { params: userAndTask, response: oneTask }

export const remove = { params: userAndTask }

export const update = {
  params: userAndTask,
  body: t.Partial(
    t.Object({ title, description, completed: t.Boolean() }, { additionalProperties: false })
  ),
  response: oneTask
}
