"""The frontends that docs/better-auth.md builds: Vite's and Next.js's, and the client of both."""
