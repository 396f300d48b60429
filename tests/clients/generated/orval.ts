import * as api from "./orval-api";
import { getTaskResponse } from "./orval-zod";
import { type Client, run, TOKEN, USER_ID } from "./scenario";

const auth = { headers: { Authorization: `Bearer ${TOKEN}` } };

/** Returns a successful response, and throws otherwise: the functions return errors too. */
function ok<R extends { status: number }, S extends number>(response: R, ...statuses: S[]) {
  if (!statuses.some((status) => status === response.status)) throw new Error(`${response.status}`);
  return response as Extract<R, { status: S }>;
}

const client: Client = {
  list: async (query) => ok(await api.listTasks(USER_ID, query, auth), 200).data,
  create: async (title) => {
    const { data, headers } = ok(await api.createTask(USER_ID, { title }, auth), 201);
    return { task: data, etag: headers.get("ETag") ?? "" };
  },
  get: async (id) => ok(await api.getTask(USER_ID, id, auth), 200).data,
  put: async (id, body, etag) => {
    const headers = { ...auth.headers, "If-Match": etag };
    return ok(await api.updateTask(USER_ID, id, body, { headers }), 200).data;
  },
  patch: async (id, body) => ok(await api.patchTask(USER_ID, id, body, auth), 200).data,
  complete: async (id, body: { completed?: boolean } = {}) =>
    ok(await api.toggleTask(USER_ID, id, body, auth), 200).data,
  remove: async (id) => void ok(await api.deleteTask(USER_ID, id, auth), 204),
  health: async () => ok(await api.getHealth(), 200).data.status,
  live: async () => ok(await api.getLiveness(), 200).data.status,
  validate: (task) => getTaskResponse.parse(task),
};

void run(client);
