// Each of these must be an error of the compiler. One that is not is an error itself.
import { type Task, tasks } from "./tasks";

declare const task: Task;

// @ts-expect-error: a title is required
void tasks.create({});
// @ts-expect-error: null removes a description, but no title
void tasks.update(1, { title: null });
// @ts-expect-error: an id is a number
void tasks.get("1");
// @ts-expect-error: there is no such status
void tasks.list({ status: "done" });
// @ts-expect-error: a page has a cursor, not a number
void tasks.list({ page: 2 });
// @ts-expect-error: the state must be said
void tasks.setCompleted(1);
// @ts-expect-error: a description may be null
task.description.length;
