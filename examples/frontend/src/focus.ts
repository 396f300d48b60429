/** Returns the task after or before the one that contains `element`, or the first if none does. */
export function neighbour(element: Element | null, step: 1 | -1): Element | undefined {
  const rows = [...document.querySelectorAll("#tasks li")]
  const row = element?.closest("#tasks li")
  return row ? rows[rows.indexOf(row) + step] : rows[0]
}

export function focusOn(row: Element | null | undefined): void {
  row?.querySelector<HTMLElement>("input, button")?.focus()
}

/** Runs `act`. If that removes the focused row from the page, the next row gets the focus. */
export function keepFocus(element: Element, act: () => void): void {
  const next = neighbour(element, 1) ?? neighbour(element, -1)
  act()
  requestAnimationFrame(() => {
    if (element.isConnected) return
    if (next) focusOn(next)
    else document.getElementById("new-task")?.focus()
  })
}
