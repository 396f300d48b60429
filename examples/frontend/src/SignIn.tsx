import { useState } from "react"
import { Form } from "./Form"
import { signIn } from "./session"

/** A form to sign in or sign up. With `email`, it is for a user whose session has ended. */
export function SignIn({ email }: { email?: string }) {
  const [isNew, setNew] = useState(false)
  return (
    <div className="sign-in">
      <Form
        action={isNew ? "Create account" : "Sign in"}
        send={({ email, password }) => signIn(email!, password!, isNew)}
      >
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
            minLength={8}
            required
          />
        </label>
      </Form>
      {!email && (
        <button className="link" onClick={() => setNew(!isNew)}>
          {isNew ? "I have an account already" : "I am new here: create an account"}
        </button>
      )}
    </div>
  )
}
