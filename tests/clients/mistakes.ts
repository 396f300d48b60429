// The compiler must report each of these. It fails on a line that compiles.
import { type Task, tasks } from "./tasks";

declare const task: Task;

// @ts-expect-error: a title is required
void tasks.create({});
// @ts-expect-error: null removes a description, but not a title
void tasks.update(1, { title: null });
// @ts-expect-error: an id is a number
void tasks.get("1");
// @ts-expect-error: there is no such status
void tasks.list({ status: "done" });
// @ts-expect-error: a page is named by its cursor, not by a number
void tasks.list({ page: 2 });
// @ts-expect-error: the state is required
void tasks.setCompleted(1);
// @ts-expect-error: a description may be null
task.description.length;
