import { hasCode, tasks } from "./api"
import type { CallOptions, Task, TaskChanges } from "./tasks"

export type Text = Required<Pick<TaskChanges, "title" | "description">>

/** Thrown if the text was changed somewhere else after the user began to edit it. */
export class Overtaken extends Error {
  constructor(readonly latest: Task) {
    super("The task was changed somewhere else.")
  }
}

/** Saves `text` if the task still has the text of `base`, and throws Overtaken otherwise. */
export async function saveText(
  id: number,
  base: Task,
  text: Text,
  options: CallOptions,
): Promise<Task> {
  for (let version = base; ; ) {
    try {
      return await tasks.update(id, text, { ...options, ifMatch: version })
    } catch (error) {
      if (!hasCode(error, "PRECONDITION_FAILED")) throw error
      const latest = await tasks.get(id)
      if (same(latest, text)) return latest // an earlier attempt saved it already
      if (!same(latest, base)) throw new Overtaken(latest)
      version = latest // only `completed` has changed
    }
  }
}

function same(a: Text, b: Text): boolean {
  return a.title === b.title && a.description === b.description
}
