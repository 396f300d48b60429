-- Adopts a table `tasks` that another build made, for example by SQLModel.metadata.create_all; docs/adopting.md.
--   psql "$MIGRATION_DATABASE_URL" --set ON_ERROR_STOP=1 --single-transaction --file migrations/adopt.sql
-- Stop the old service first. The script copies every task, with its id and its times, into a table like the one that
-- the migrations make, and keeps the old table as `before_adoption.tasks`. If it fails, it changes nothing.
-- Times without a time zone are read as UTC. If the old service wrote local times, add, for example,
--   --set zone=America/New_York

\set ON_ERROR_STOP 1
-- Override defaults of the role that would change what the statements see, or interrupt them.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '5s';
SET LOCAL row_security = off; -- so that a policy that hides tasks causes an error
-- A local setting is lost at once if there is no transaction.
SET LOCAL tasks.is_one_transaction = 'on';
DO $$
BEGIN
    IF current_setting('tasks.is_one_transaction', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'Run this script with --single-transaction, as its first lines say. Nothing was changed.';
    END IF;
END
$$;
SELECT pg_advisory_xact_lock(7426031955) \g /dev/null
-- Create everything in the schema of the table, which may not be the first one of the search path.
SELECT set_config('search_path', relnamespace::regnamespace || ', ' || current_setting('search_path'), true)
FROM pg_class WHERE oid = to_regclass('tasks') \g /dev/null
\if :{?zone}
\else
    \set zone UTC
\endif

CREATE TEMPORARY VIEW adopted_columns AS
SELECT attname AS name, atttypid::regtype AS type, attidentity AS identity
FROM pg_attribute WHERE attrelid = to_regclass('tasks') AND attnum > 0 AND NOT attisdropped;
-- Whether the table was made by any of the migrations.
SELECT EXISTS (SELECT FROM adopted_columns WHERE name = 'id' AND type = 'bigint'::regtype)
    AND (SELECT count(*) FROM adopted_columns WHERE type = 'timestamptz'::regtype) >= 2
    AND to_regclass('idempotency_keys') IS NOT NULL AND to_regclass('alembic_version') IS NOT NULL
    AS is_adopted \gset
\if :is_adopted
    \echo The table tasks is already as the migrations make it: nothing was changed.
    DROP VIEW adopted_columns;
\else

-- Refuse what can't be adopted.
DO $$
DECLARE
    found text;
BEGIN
    IF to_regclass('tasks') IS NULL THEN
        RAISE EXCEPTION 'There is no table tasks to adopt: run `alembic upgrade head` instead.';
    END IF;
    LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE;
    SELECT string_agg(needed, ', ') INTO found FROM unnest(ARRAY[
        'id', 'user_id', 'title', 'description', 'completed', 'created_at', 'updated_at'
    ]) AS needed WHERE needed NOT IN (SELECT name FROM adopted_columns);
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'The table tasks can''t be adopted: it lacks %.', found
            USING HINT = 'Add what is missing with ALTER TABLE, then run this script again.';
    END IF;
    SELECT string_agg(format('%s is %s', name, type), ', ') INTO found FROM adopted_columns
    WHERE name = 'id' AND type NOT IN ('smallint'::regtype, 'integer', 'bigint')
        OR name = 'completed' AND type <> 'boolean'::regtype
        OR name IN ('created_at', 'updated_at') AND type NOT IN ('timestamp'::regtype, 'timestamptz');
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'The table tasks can''t be adopted: %.', found
            USING HINT = 'id must be an integer, completed a boolean, and the times timestamps.';
    END IF;
    SELECT string_agg(DISTINCT what, ', ') INTO found FROM (
        SELECT conrelid::regclass::text AS what FROM pg_constraint
        WHERE confrelid = 'tasks'::regclass AND conrelid <> confrelid
        UNION ALL
        SELECT ev_class::regclass::text FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = objid
        WHERE classid = 'pg_rewrite'::regclass AND refobjid = 'tasks'::regclass
    ) AS referring;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'The table tasks can''t be adopted: foreign keys or views refer to it (%).', found
            USING HINT = 'Drop these first, and make them again afterwards.';
    END IF;
END
$$;
DO $$
DECLARE
    found text;
BEGIN
    SELECT string_agg(fault, '; ' ORDER BY fault) INTO found FROM (
        SELECT format('%s in %s tasks (ids %s%s)', what, count(*),
            array_to_string((array_agg(id ORDER BY id))[1:10], ', '),
            CASE WHEN count(*) > 10 THEN ', …' END) AS fault
        FROM tasks CROSS JOIN LATERAL (VALUES
            ('user_id is NULL', user_id IS NULL),
            ('user_id is blank', user_id::text !~ '\S'),
            ('user_id has more than 255 characters', char_length(user_id::text) > 255),
            ('title is NULL', title IS NULL),
            ('title is blank', title::text !~ '\S'),
            ('title has more than 200 characters', char_length(title::text) > 200),
            ('description has more than 1000 characters', char_length(description::text) > 1000),
            ('completed is NULL', completed IS NULL),
            ('created_at is NULL', created_at IS NULL),
            ('updated_at is NULL', updated_at IS NULL),
            ('created_at is not between the years 1 and 9999',
                created_at < '0001-01-02' OR created_at >= '9999-12-31'),
            ('updated_at is not between the years 1 and 9999',
                updated_at < '0001-01-02' OR updated_at >= '9999-12-31')
        ) AS faults (what, is_so)
        WHERE is_so GROUP BY what
    ) AS counted;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'The table tasks can''t be adopted: %.', found
            USING HINT = 'Correct or delete these tasks, then run this script again.';
    END IF;
END
$$;

-- Convert times without a time zone from `zone`, whatever the server's setting TimeZone is.
SELECT CASE type WHEN 'timestamptz'::regtype THEN 'created_at'
    ELSE format('created_at AT TIME ZONE %L', :'zone') END AS created_at
FROM adopted_columns WHERE name = 'created_at' \gset
SELECT CASE type WHEN 'timestamptz'::regtype THEN 'updated_at'
    ELSE format('updated_at AT TIME ZONE %L', :'zone') END AS updated_at
FROM adopted_columns WHERE name = 'updated_at' \gset
DROP VIEW adopted_columns;

-- Move the old table to another schema, so that its indexes and its sequence don't block the names of the new ones.
CREATE SCHEMA before_adoption;
ALTER TABLE tasks SET SCHEMA before_adoption;

-- The tables as the migrations up to 0002 make them. A test compares them.
CREATE TABLE tasks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL,
    title varchar(200) NOT NULL,
    description varchar(1000),
    completed boolean DEFAULT false NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT tasks_user_id_length CHECK (char_length(user_id) BETWEEN 1 AND 255),
    CONSTRAINT tasks_title_length CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT tasks_description_length CHECK (char_length(description) <= 1000)
);
INSERT INTO tasks (id, user_id, title, description, completed, created_at, updated_at)
    OVERRIDING SYSTEM VALUE
SELECT id, user_id, title, description, completed, :created_at, :updated_at
FROM before_adoption.tasks;

CREATE INDEX tasks_by_created ON tasks (user_id, created_at, id);
CREATE INDEX tasks_pending_by_created ON tasks (user_id, created_at, id) WHERE completed IS false;
CREATE INDEX tasks_completed_by_created ON tasks (user_id, created_at, id) WHERE completed IS true;
CREATE INDEX tasks_by_title ON tasks (user_id, lower(title), id);
CREATE INDEX tasks_pending_by_title ON tasks (user_id, lower(title), id) WHERE completed IS false;
CREATE INDEX tasks_completed_by_title ON tasks (user_id, lower(title), id) WHERE completed IS true;
CREATE TABLE IF NOT EXISTS idempotency_keys (
    user_id text NOT NULL,
    key varchar(255) NOT NULL,
    fingerprint bytea NOT NULL,
    task_id bigint NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX IF NOT EXISTS idempotency_keys_by_created ON idempotency_keys (created_at);
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY
);
DELETE FROM alembic_version;
INSERT INTO alembic_version VALUES ('0002');

DO $$
DECLARE
    ids constant text := pg_get_serial_sequence('tasks', 'id');
    old_ids constant text := pg_get_serial_sequence('before_adoption.tasks', 'id');
    last bigint;
    old pg_class;
    allowed record;
BEGIN
    IF (SELECT count(*) FROM tasks) <> (SELECT count(*) FROM before_adoption.tasks) THEN
        RAISE EXCEPTION 'Not every task was copied.';
    END IF;
    -- The ids of deleted tasks are not used again either.
    IF old_ids IS NOT NULL THEN
        EXECUTE format('SELECT last_value FROM %s WHERE is_called', old_ids) INTO last;
    END IF;
    last := greatest(last, (SELECT max(id) FROM tasks));
    IF last >= 1 THEN
        PERFORM setval(ids, last);
    END IF;
    -- Let the roles that could use the old table use the new ones.
    SELECT * INTO old FROM pg_class WHERE oid = 'before_adoption.tasks'::regclass;
    FOR allowed IN
        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS role, privilege_type
        FROM aclexplode(old.relacl) WHERE grantee <> old.relowner
    LOOP
        EXECUTE format('GRANT %s ON tasks, idempotency_keys TO %s', allowed.privilege_type, allowed.role);
        EXECUTE format('GRANT SELECT ON alembic_version TO %s', allowed.role);
        IF allowed.privilege_type = 'INSERT' THEN
            EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s', ids, allowed.role);
        END IF;
    END LOOP;
    -- Without its policies, row security hides all tasks from other roles than the owner.
    IF old.relrowsecurity THEN
        ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
        ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
    END IF;
    EXECUTE format('ALTER TABLE tasks OWNER TO %s', old.relowner::regrole);
    EXECUTE format('ALTER TABLE idempotency_keys OWNER TO %s', old.relowner::regrole);
    EXECUTE format('ALTER TABLE alembic_version OWNER TO %s', old.relowner::regrole);
END
$$;
ANALYZE tasks;
SELECT count(*) AS adopted FROM tasks \gset
\echo :adopted tasks are adopted. The old table is kept as before_adoption.tasks; docs/adopting.md says when to drop it.
\endif
