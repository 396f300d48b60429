import { type ReactNode, useEffect, useId, useRef } from "react"

interface Props {
  title: string
  /** Without it, Escape does not close the dialog. */
  onClose?: () => void
  children: ReactNode
}

/** The browser's own modal dialog. It keeps the focus inside, and restores it when it closes. */
export function Dialog({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()

  useEffect(() => {
    const before = document.activeElement
    const element = dialog.current!
    element.showModal()
    // The e-mail field before it is already filled in.
    element.querySelector<HTMLElement>("[type=password]")?.focus()
    return () => {
      element.close()
      if (before instanceof HTMLElement) before.focus()
    }
  }, [])

  return (
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        onClose?.()
      }}
    >
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  )
}
