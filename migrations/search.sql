-- Creates an index for searches (`q`), for users with more than some 10,000 tasks; docs/performance.md
-- says from where on it pays, because each change of a task then takes several times the CPU time of
-- Postgres. The service uses it as soon as it is there, and works without it.
--   psql "$MIGRATION_DATABASE_URL" --set ON_ERROR_STOP=1 --file migrations/search.sql
-- Writing waits while it is made. On a large table that is not partitioned, write CREATE INDEX
-- CONCURRENTLY. DROP INDEX tasks_search takes it away again.

CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

-- With the user first, a search reads no other user's tasks. Without fastupdate, a search never reads
-- a list of what others have written since.
CREATE INDEX IF NOT EXISTS tasks_search ON tasks USING gin (
    user_id, upper(lower(title)) gin_trgm_ops, upper(lower(description)) gin_trgm_ops
) WITH (fastupdate = off);
ANALYZE tasks;
