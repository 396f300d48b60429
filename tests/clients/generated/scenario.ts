// Runs every operation with a generated client. What the client returns must be usable as it is.
import assert from "node:assert/strict";

export interface Task {
  id: number;
  title: string;
  description: string | null;
  completed: boolean;
  updated_at: string;
}

export interface Client {
  list(query: { limit?: number; completed?: boolean }): Promise<{ tasks: Task[]; count: number }>;
  create(title: string): Promise<{ task: Task; etag: string }>;
  get(id: number): Promise<Task>;
  put(id: number, body: { description: null }, etag: string): Promise<Task>;
  patch(id: number, body: { title: string }): Promise<Task>;
  complete(id: number, body?: { completed: boolean }): Promise<Task>;
  remove(id: number): Promise<void>;
  health(): Promise<string>;
  live(): Promise<string>;
  /** Parses the task with the generated schema. Throws if the schema refuses it. */
  validate(task: Task): Task;
}

export const { USER_ID = "", TOKEN = "", LARGE_ID = "" } = process.env;
const EMOJI = "🥛".repeat(150); // 300 UTF-16 units

export async function run(client: Client) {
  const { task, etag } = await client.create(EMOJI);
  assert.deepEqual([task.title, task.completed], [EMOJI, false]);
  assert.deepEqual(client.validate(task), task);
  assert.equal(etag, `"${task.updated_at}"`);

  // An id that does not fit 32 bits, and which JSON.stringify must accept.
  const large = client.validate(await client.get(Number(LARGE_ID)));
  assert.equal(JSON.stringify({ id: large.id }), `{"id":${LARGE_ID}}`);

  const { tasks, count } = await client.list({ limit: 10, completed: false });
  assert.deepEqual([tasks.map(({ id }) => id), count], [[task.id, large.id], 2]);
  tasks.forEach(client.validate);

  assert.equal((await client.put(task.id, { description: null }, etag)).title, EMOJI);
  assert.equal((await client.patch(task.id, { title: "Buy milk" })).title, "Buy milk");
  assert.equal((await client.complete(task.id, { completed: true })).completed, true);
  assert.equal((await client.complete(task.id, { completed: true })).completed, true);
  assert.equal((await client.complete(task.id)).completed, false);
  await client.remove(task.id);
  await assert.rejects(client.get(task.id));
  assert.deepEqual([await client.health(), await client.live()], ["healthy", "alive"]);
  console.log("all operations");
}
