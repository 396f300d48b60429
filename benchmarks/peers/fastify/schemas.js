const title = { type: 'string', minLength: 1, maxLength: 200 }
const description = { type: ['string', 'null'], maxLength: 1000 }
const time = { type: 'string', format: 'date-time' }

const task = {
  type: 'object',
  properties: {
    id: { type: 'integer' },
    user_id: { type: 'string' },
    title: { type: 'string' },
    description: { type: ['string', 'null'] },
    completed: { type: 'boolean' },
    created_at: time,
    updated_at: time
  }
}

const taskList = {
  type: 'object',
  properties: { tasks: { type: 'array', items: task }, count: { type: 'integer' } }
}

const user = { user_id: { type: 'string' } }
const params = { type: 'object', properties: { ...user, id: { type: 'integer' } } }

export const list = {
  querystring: {
    type: 'object',
    properties: {
      limit: { type: 'integer', minimum: 1, maximum: 1000 },
      q: { type: 'string', minLength: 1, maxLength: 200 }
    }
  },
  response: { 200: taskList }
}

const count = { type: 'integer' }

export const stats = {
  response: {
    200: { type: 'object', properties: { total: count, pending: count, completed: count } }
  }
}

export const create = {
  body: { type: 'object', required: ['title'], properties: { title, description } },
  response: { 201: task }
}

export const read = { params, response: { 200: task } }

export const remove = { params }

export const update = {
  params,
  body: {
    type: 'object',
    additionalProperties: false,
    properties: { title, description, completed: { type: 'boolean' } }
  },
  response: { 200: task }
}
