// The types of tasks.ts are exactly those of the OpenAPI document: a difference does not compile.
import type { components, operations } from "./tasks-api";
import type { ListQuery, NewTask, Task, TaskChanges, TaskList, TasksError } from "./tasks";

type Schemas = components["schemas"];

/** `true` only if the two types are identical, including which names are required. */
type Same<One, Other> =
  (<T>() => T extends Flat<One> ? 1 : 2) extends <T>() => T extends Flat<Other> ? 1 : 2
    ? true
    : [One, "is not the same as", Other];
type Flat<T> = T extends object ? { [Name in keyof T]: Flat<T[Name]> } : T;

export const same: [
  Same<Task, Schemas["TaskResponse"]>,
  Same<TaskList, Schemas["TaskListResponse"]>,
  Same<NewTask, Schemas["TaskCreate"]>,
  Same<TaskChanges, Schemas["TaskUpdate"]>,
  Same<Required<ListQuery>, Required<NonNullable<operations["listTasks"]["parameters"]["query"]>>>,
  Same<TasksError["errors"], Schemas["ValidationErrorResponse"]["errors"]>,
] = [true, true, true, true, true, true];
