import { type ReactNode, useId, useLayoutEffect, useRef } from "react"

interface Props {
  title: string
  /** Without it, the user can't close the dialog. */
  onClose?: () => void
  children: ReactNode
}

/** The browser's own modal dialog. It keeps the focus inside, and restores it when it closes. */
export function Dialog({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()

  function open() {
    dialog.current!.showModal()
    // The e-mail field before it is already filled in.
    dialog.current!.querySelector<HTMLElement>("[type=password]")?.focus()
  }

  useLayoutEffect(() => {
    const element = dialog.current!
    open()
    return () => element.close()
  }, [])

  // Escape closes the dialog. No browser lets a page prevent that every time.
  return (
    <dialog ref={dialog} aria-labelledby={heading} onClose={onClose ?? open}>
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  )
}
