"""What the task endpoints use for their work: SQL, pages, JSON, conditions and idempotency."""
