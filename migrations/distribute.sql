-- Distributes `tasks` and `idempotency_keys`, with all their rows, by user_id over the nodes of a
-- Citus cluster; docs/scaling.md says when, and what changes. Run it on the coordinator, after
-- `alembic upgrade head`, while no service writes:
--   psql "$MIGRATION_DATABASE_URL" --set ON_ERROR_STOP=1 --file migrations/distribute.sql
-- Each statement is a transaction of its own. If one fails, go on from that statement.

\set ON_ERROR_STOP 1
-- The nodes need the function that every change calls.
SELECT create_distributed_function('tasks_next_update(timestamptz)');

-- A unique key must contain the column by which rows are distributed.
ALTER TABLE tasks DROP CONSTRAINT tasks_pkey, ADD CONSTRAINT tasks_pkey PRIMARY KEY (id, user_id);

SELECT create_distributed_table('tasks', 'user_id');
SELECT create_distributed_table('idempotency_keys', 'user_id', colocate_with := 'tasks');
