"""What an endpoint needs for its work on tasks: SQL, pages, JSON, conditions, idempotency."""
