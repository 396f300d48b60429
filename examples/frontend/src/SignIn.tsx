import { type FormEvent, useState } from "react"
import { signIn, signUp } from "./session"

/** A form to sign in or sign up. With `email`, it is for a user whose session has ended. */
export function SignIn({ email }: { email?: string }) {
  const [isNew, setNew] = useState(false)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string>()

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    setBusy(true)
    const enter = isNew ? signUp : signIn
    setProblem(await enter(String(form.get("email")), String(form.get("password"))))
    setBusy(false)
  }

  return (
    <form className="sign-in" onSubmit={submit}>
      <label>
        E-mail
        <input
          name="email"
          type="email"
          autoComplete="username"
          defaultValue={email}
          autoFocus={!email}
          required
        />
      </label>
      <label>
        Password
        <input
          name="password"
          type="password"
          autoComplete={isNew ? "new-password" : "current-password"}
          autoFocus={!!email}
          minLength={8}
          aria-describedby="sign-in-problem"
          required
        />
      </label>
      <p id="sign-in-problem" className="problem" role="alert">
        {problem}
      </p>
      <button className="primary" disabled={busy}>
        {isNew ? "Create account" : "Sign in"}
      </button>
      {!email && (
        <button type="button" className="link" onClick={() => setNew(!isNew)}>
          {isNew ? "I have an account already" : "I am new here: create an account"}
        </button>
      )}
    </form>
  )
}
