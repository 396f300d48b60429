"""Automatic setup for developers: a Postgres, a secret, and the migration at start."""
