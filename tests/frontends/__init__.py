"""The frontends of docs/better-auth.md, with Vite and with Next.js, and the client of both."""
