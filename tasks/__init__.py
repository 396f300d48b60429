"""Modules that the task endpoints use: SQL, pages, JSON, conditions, idempotency."""
