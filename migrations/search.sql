-- Creates an index for searches (`q`), for users with more than some 10,000 tasks. With the index, each
-- change of a task takes several times the CPU time in Postgres; docs/performance.md says when it pays
-- off. The service uses the index as soon as it exists, and works without it.
--   psql "$MIGRATION_DATABASE_URL" --set ON_ERROR_STOP=1 --file migrations/search.sql
-- Writes wait while the index is created. On a large table that is not partitioned, use CREATE INDEX
-- CONCURRENTLY instead. DROP INDEX tasks_search removes it.

\set ON_ERROR_STOP 1
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

-- The user comes first, so that a search reads no other user's tasks. fastupdate is off, so that a
-- search never reads a list of recent writes of other users.
CREATE INDEX IF NOT EXISTS tasks_search ON tasks USING gin (
    user_id, upper(lower(title)) gin_trgm_ops, upper(lower(description)) gin_trgm_ops
) WITH (fastupdate = off);
ANALYZE tasks;
