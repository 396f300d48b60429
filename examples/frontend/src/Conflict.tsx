import type { Text } from "./save-text"
import type { TaskStore } from "./store"
import type { Task } from "./tasks"

interface Props {
  id: string
  store: TaskStore
  theirs: Task
  mine: Text
  focus: () => void
}

/** Offers both versions of a task that two tabs or devices have edited at the same time. */
export function Conflict({ id, store, theirs, mine, focus }: Props) {
  function choose(text: Text) {
    store.edit(theirs, text)
    focus()
  }

  return (
    <li className="row conflict">
      <p id={`${id}-question`}>This task was changed somewhere else too. Which version is right?</p>
      <div role="group" aria-labelledby={`${id}-question`}>
        <Version name="Yours" text={mine} choose={() => choose(mine)} />
        <Version name="The other one" text={theirs} choose={() => choose(theirs)} />
      </div>
    </li>
  )
}

function Version({ name, text, choose }: { name: string; text: Text; choose: () => void }) {
  return (
    <button className="version" onClick={choose}>
      <span className="name">{name}</span>
      <span className="title">{text.title}</span>
      {text.description && <span className="description">{text.description}</span>}
    </button>
  )
}
