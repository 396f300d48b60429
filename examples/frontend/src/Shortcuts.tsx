import { useEffect } from "react"
import { Dialog } from "./Dialog"
import { focusOn, neighbour } from "./focus"
import { act, notices } from "./notices"

const KEYS: [string[], string][] = [
  [["n"], "Write a new task"],
  [["/"], "Search"],
  [["↑", "↓"], "Go from task to task"],
  [["Space"], "Complete a task, or take that back"],
  [["Enter"], "Edit a task; save"],
  [["Escape"], "End editing or searching"],
  [["Delete"], "Delete a task"],
  [["z"], "Undo the deletion"],
  [["?"], "Show this page"],
]

export function Shortcuts({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <dl className="keys">
        {KEYS.map(([keys, text]) => (
          <div key={text}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      <div className="buttons">
        <button className="primary" autoFocus onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  )
}

export function useShortcuts(showHelp: () => void): void {
  useEffect(() => {
    const actions: Record<string, () => void> = {
      n: () => document.getElementById("new-task")?.focus(),
      "/": () => document.getElementById("search")?.focus(),
      "?": showHelp,
      z: () => act(notices.value.findLast((notice) => notice.action?.label === "Undo")),
      ArrowDown: () => focusOn(neighbour(document.activeElement, 1)),
      ArrowUp: () => focusOn(neighbour(document.activeElement, -1)),
    }
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === "Escape") return leaveField(event.target as HTMLElement)
      const action = actions[event.key]
      if (!action || isTaken(event)) return
      event.preventDefault()
      action()
    }
    document.addEventListener("keydown", onKeyDown)
    return () => document.removeEventListener("keydown", onKeyDown)
  }, [])
}

/** Returns whether the key belongs to a field, a dialog or the browser. */
function isTaken(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement
  const isField = target.matches("input:not([type=checkbox]), textarea, select")
  const isModified = event.ctrlKey || event.metaKey || event.altKey
  return isField || isModified || document.querySelector("dialog[open]") !== null
}

function leaveField(target: HTMLElement): void {
  if (target.id === "new-task") target.blur()
}
