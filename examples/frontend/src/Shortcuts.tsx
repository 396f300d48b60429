import { useEffect } from "react"
import { focusOn, neighbour } from "./focus"
import { act, notices } from "./notices"

const KEYS = {
  n: "Write a new task",
  "/": "Search",
  "↑ ↓": "Go from task to task",
  Space: "Complete a task, or take that back",
  Enter: "Edit a task; save",
  Escape: "End editing or searching",
  Delete: "Delete a task",
  z: "Undo the deletion",
  "?": "Show this page",
}

const ACTIONS: Record<string, () => void> = {
  n: () => document.getElementById("new-task")!.focus(),
  "/": () => document.getElementById("search")!.focus(),
  "?": () => document.getElementById("shortcuts")!.togglePopover(),
  z: () => act(notices.value.findLast((notice) => notice.action?.label === "Undo")),
  ArrowDown: () => focusOn(neighbour(document.activeElement, 1)),
  ArrowUp: () => focusOn(neighbour(document.activeElement, -1)),
}

export function Shortcuts() {
  useEffect(() => {
    document.addEventListener("keydown", onKeyDown)
    return () => document.removeEventListener("keydown", onKeyDown)
  }, [])
  return (
    <>
      <button className="quiet" popoverTarget="shortcuts">
        Keyboard shortcuts <kbd>?</kbd>
      </button>
      <div id="shortcuts" popover="auto" role="dialog" aria-labelledby="shortcuts-title">
        <h2 id="shortcuts-title">Keyboard shortcuts</h2>
        <dl className="keys">
          {Object.entries(KEYS).map(([keys, text]) => (
            <div key={text}>
              <dt>
                <kbd>{keys}</kbd>
              </dt>
              <dd>{text}</dd>
            </div>
          ))}
        </dl>
      </div>
    </>
  )
}

function onKeyDown(event: KeyboardEvent): void {
  const target = event.target as HTMLElement
  if (event.key === "Escape" && target.id === "new-task") target.blur()
  const action = ACTIONS[event.key]
  if (!action || isTaken(event, target)) return
  event.preventDefault()
  action()
}

/** Returns whether the key belongs to a field, a dialog or the browser. */
function isTaken(event: KeyboardEvent, target: HTMLElement): boolean {
  const isField = target.matches("input:not([type=checkbox]), textarea, select")
  const isModified = event.ctrlKey || event.metaKey || event.altKey
  return isField || isModified || document.querySelector("dialog[open]") !== null
}
