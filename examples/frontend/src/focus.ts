/** Returns the task after or before the one that contains `element`, or the first if none does. */
export function neighbour(element: Element | null, step: 1 | -1): Element | undefined {
  const rows = [...document.querySelectorAll("#tasks li")]
  const row = element?.closest("#tasks li")
  return row ? rows[rows.indexOf(row) + step] : rows[0]
}

export function focusOn(row: Element | undefined): void {
  row?.querySelector<HTMLElement>("input, button")?.focus()
}
