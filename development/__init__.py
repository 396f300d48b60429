"""What a developer need not set up: a Postgres, a secret, and the migration at start."""
