// Each of these must be an error of the compiler. One that is not is an error itself.
import { type ApiError, type Task, tasksOf } from "./tasks";

declare const task: Task;
declare const error: ApiError;
const tasks = tasksOf("alice", async () => "", "");

// @ts-expect-error: a title is required
void tasks.create({});
// @ts-expect-error: null removes a description, but no title
void tasks.update(1, { title: null });
// @ts-expect-error: an id is a number
void tasks.get("1");
// @ts-expect-error: there is no such status
void tasks.list({ status: "done" });
// @ts-expect-error: a description may be null
task.description.length;
// @ts-expect-error: there is no such code
error.code === "TASK_FORGOTTEN";
// @ts-expect-error: only a VALIDATION_ERROR has them
error.errors;
void tasks.list().then(({ data }) => {
  // @ts-expect-error: there may be an error instead
  data.tasks;
});
