// Runs all six operations, and into their errors, by the client of docs/typescript-client.md.
import assert from "node:assert/strict";
import { buyMilk, explain } from "./example";
import { tasksOf, type ApiError } from "./tasks";

const { BASE_URL = "", USER_ID = "", TOKEN = "", OTHER_TOKEN = "" } = process.env;
const tokenOf = (token: string) => async () => token;

/** What failed as it should have: the status, and the error as it is typed. */
function refused(answer: { data?: unknown; error?: ApiError; response: Response }) {
  assert.equal(answer.data, undefined);
  assert.ok(answer.error);
  return { status: answer.response.status, error: answer.error };
}

async function main() {
  const tasks = tasksOf(USER_ID, tokenOf(TOKEN), BASE_URL);

  const created = await tasks.create({ title: "Buy milk", description: "Two litres" });
  assert.equal(created.response.status, 201);
  const task = created.data ?? assert.fail("nothing was created");
  assert.deepEqual([task.title, task.description, task.completed], ["Buy milk", "Two litres", false]);

  assert.deepEqual((await tasks.get(task.id)).data, task);
  const page = await tasks.list({ status: "pending", sort: "title", order: "asc", limit: 10 });
  assert.deepEqual(page.data, { tasks: [task], count: 1, next_cursor: null });
  const updated = await tasks.update(task.id, { description: null });
  assert.deepEqual([updated.data?.title, updated.data?.description], ["Buy milk", null]);
  assert.equal((await tasks.toggle(task.id)).data?.completed, true);
  const removed = await tasks.remove(task.id);
  assert.deepEqual([removed.response.status, removed.error], [204, undefined]);

  const absent = refused(await tasks.get(task.id));
  assert.deepEqual(absent, {
    status: 404,
    error: { detail: "There is no such task.", code: "TASK_NOT_FOUND" },
  });
  const invalid = refused(await tasks.create({ title: " " }));
  assert.equal(invalid.status, 400);
  assert.ok(invalid.error.code === "VALIDATION_ERROR");
  assert.equal(invalid.error.errors[0]?.field, "body.title"); // typed by the line above
  assert.match(explain(invalid.error), /^body\.title: /);

  const foreign = tasksOf(USER_ID, tokenOf(OTHER_TOKEN), BASE_URL);
  const forbidden = [foreign.list(), foreign.create({ title: "x" }), foreign.get(1)];
  forbidden.push(foreign.update(1, {}), foreign.toggle(1));
  for (const answer of [...(await Promise.all(forbidden)), await foreign.remove(1)])
    assert.deepEqual([refused(answer).status, answer.error?.code], [403, "FORBIDDEN"]);
  const stranger = refused(await tasksOf(USER_ID, tokenOf("none"), BASE_URL).list());
  assert.deepEqual([stranger.status, explain(stranger.error)], [401, "Please log in again."]);

  const titles = (await buyMilk(USER_ID, tokenOf(TOKEN), BASE_URL)).map((each) => each.title);
  assert.deepEqual(titles, ["Buy milk"]);
  console.log("all six operations");
}

void main();
