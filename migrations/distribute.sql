-- Distributes `tasks` and `idempotency_keys` by user_id over the nodes of a Citus cluster, with all
-- their rows; docs/scaling.md says when, and what differs then. On the coordinator, after `alembic
-- upgrade head`, while no service writes:
--   psql "$MIGRATION_DATABASE_URL" --set ON_ERROR_STOP=1 --file migrations/distribute.sql
-- Each statement happens as a whole or not at all. If one fails, go on from that one.

-- The nodes need the function that every change calls.
SELECT create_distributed_function('tasks_next_update(timestamptz)');

-- A unique key must hold the column by which rows are distributed.
ALTER TABLE tasks DROP CONSTRAINT tasks_pkey, ADD CONSTRAINT tasks_pkey PRIMARY KEY (id, user_id);

SELECT create_distributed_table('tasks', 'user_id');
SELECT create_distributed_table('idempotency_keys', 'user_id', colocate_with := 'tasks');
