import { client as http } from "./hey-api/client.gen";
import * as api from "./hey-api/sdk.gen";
import { zTaskResponse } from "./hey-api/zod.gen";
import { type Client, run, TOKEN, USER_ID } from "./scenario";

// The generated client takes its base URL from `servers` in the document.
http.setConfig({ auth: TOKEN, throwOnError: true });
const path = { user_id: USER_ID };
const one = (task_id: number) => ({ path: { ...path, task_id }, throwOnError: true }) as const;

const client: Client = {
  list: async (query) => (await api.listTasks({ path, query, throwOnError: true })).data,
  create: async (title) => {
    const { data, response } = await api.createTask({ path, body: { title }, throwOnError: true });
    return { task: data, etag: response.headers.get("ETag") ?? "" };
  },
  get: async (id) => (await api.getTask(one(id))).data,
  put: async (id, body, etag) =>
    (await api.updateTask({ ...one(id), body, headers: { "If-Match": etag } })).data,
  patch: async (id, body) => (await api.patchTask({ ...one(id), body })).data,
  complete: async (id, body) => (await api.toggleTask({ ...one(id), body })).data,
  remove: async (id) => void (await api.deleteTask(one(id))),
  health: async () => (await api.getHealth({ throwOnError: true })).data.status,
  live: async () => (await api.getLiveness({ throwOnError: true })).data.status,
  validate: (task) => zTaskResponse.parse(task),
};

void run(client);
