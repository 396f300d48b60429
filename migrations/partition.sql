-- Turns `tasks` into a table that is hash-partitioned by user_id; docs/scaling.md says when and how.
--   psql "$MIGRATION_DATABASE_URL" --set ON_ERROR_STOP=1 --single-transaction --file migrations/partition.sql
-- Meanwhile, reads continue until the last step, and writes wait. If the script fails, it changes nothing.

\set ON_ERROR_STOP 1
-- Override defaults of the role that would change what the statements see, or interrupt them.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '5s';
SET LOCAL row_security = off; -- so that a policy that hides tasks causes an error
-- This fails without --single-transaction.
LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE;
-- Create everything in the schema of the table, which may not be the first one of the search path.
DO $$
BEGIN
    PERFORM set_config('search_path', relnamespace::regnamespace || ', ' || current_setting('search_path'), true)
    FROM pg_class WHERE oid = 'tasks'::regclass;
END
$$;

-- Refuse what the new table would silently lack.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_policy WHERE polrelid = 'tasks'::regclass)
        OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'tasks'::regclass AND NOT tgisinternal)
        OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = 'tasks'::regclass)
        OR EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = 'tasks'::regclass)
    THEN
        RAISE EXCEPTION 'The table tasks has policies, triggers, rules or publications, which the new table would lack.'
            USING HINT = 'Drop these first, and create them again afterwards.';
    END IF;
END
$$;

-- Use a sequence, because partitioned tables can have identity columns only from PostgreSQL 17 on.
CREATE SEQUENCE tasks_ids AS bigint;
DO $$
DECLARE
    ids constant text := pg_get_serial_sequence('tasks', 'id');
    highest constant bigint := (SELECT max(id) FROM tasks);
    last bigint;
    is_used boolean;
BEGIN
    IF ids IS NULL THEN
        RAISE EXCEPTION 'tasks.id has no sequence of its own; docs/adopting.md says how to adopt such a table.';
    END IF;
    EXECUTE format('SELECT last_value, is_called FROM %s', ids) INTO last, is_used;
    IF highest > last OR highest = last AND NOT is_used THEN
        RAISE EXCEPTION 'The sequence % is at %, below the highest id %: it would give ids twice.', ids, last, highest
            USING HINT = format('SELECT setval(%L, %s); then run this script again.', ids, highest);
    END IF;
    PERFORM setval('tasks_ids', last, is_used);
END
$$;

-- Free the name for the new table's primary key.
ALTER INDEX tasks_pkey RENAME TO unpartitioned_tasks_pkey;

-- The key begins with `id`, because the check whether a task belongs to another user looks it up by id alone.
CREATE TABLE tasks_partitioned (
    LIKE tasks INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMMENTS,
    CONSTRAINT tasks_pkey PRIMARY KEY (id, user_id)
) PARTITION BY HASH (user_id);
ALTER TABLE tasks_partitioned ALTER COLUMN id SET DEFAULT nextval('tasks_ids');
ALTER SEQUENCE tasks_ids OWNED BY tasks_partitioned.id;

DO $$
DECLARE
    partitions constant integer := 32;
BEGIN
    FOR remainder IN 0 .. partitions - 1 LOOP
        EXECUTE format(
            'CREATE TABLE tasks_%s PARTITION OF tasks_partitioned'
            ' FOR VALUES WITH (MODULUS %s, REMAINDER %s)',
            remainder, partitions, remainder
        );
    END LOOP;
END
$$;

INSERT INTO tasks_partitioned SELECT * FROM tasks;

-- Create the other indexes on the new table, with the same definitions.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT schemaname, indexname, indexdef FROM pg_indexes
        WHERE schemaname = current_schema AND tablename = 'tasks'
            AND indexname <> 'unpartitioned_tasks_pkey'
    LOOP
        EXECUTE format('ALTER INDEX %I RENAME TO %I', old.indexname, 'unpartitioned_' || old.indexname);
        EXECUTE replace(
            old.indexdef, format(' ON %I.tasks ', old.schemaname), ' ON tasks_partitioned '
        );
    END LOOP;
END
$$;
ANALYZE tasks_partitioned;

DO $$
BEGIN
    IF (SELECT count(*) FROM tasks) <> (SELECT count(*) FROM tasks_partitioned) THEN
        RAISE EXCEPTION 'not every task was copied';
    END IF;
END
$$;

-- Keep the owner, and row security.
DO $$
DECLARE
    old pg_class;
    made regclass;
BEGIN
    SELECT * INTO old FROM pg_class WHERE oid = 'tasks'::regclass;
    FOR made IN SELECT relid FROM pg_partition_tree('tasks_partitioned') LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %s', made, old.relowner::regrole);
        IF old.relrowsecurity THEN
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', made);
        END IF;
        IF old.relforcerowsecurity THEN
            EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', made);
        END IF;
    END LOOP;
END
$$;

-- From here on reads wait too, for a moment.
DROP TABLE tasks;
ALTER TABLE tasks_partitioned RENAME TO tasks;
