"""Find what keeps the service's role from using existing tables, and the command that fixes it.

The check only reads the catalogs, and takes no lock on the tables. So it never waits for a
statement on them.
"""

from functools import cache
from typing import NamedTuple

from sqlmodel import SQLModel

import models  # noqa: F401  (fills the metadata)


class Obstacle(NamedTuple):
    """The reason why tables can't be used: its kind, and a clause for the log.

    If `is_total`, a statement may seem to succeed, but its result can't be used.
    """

    kind: str
    clause: str
    is_total: bool = False


NO_RIGHTS = "no rights"
READ_ONLY = "read-only"
# The database can be used, but the service can't read its revision.
UNCHECKED = "no right to read it"
# The kinds of obstacles, in the order in which to remove them, and what the log says.
CLAUSES = {
    "no rights on the schema": "the role can't see the tables; as their owner, run `{}`",
    "search path": "the tables are in a schema that search_path lacks; run `{}`",
    "not a table": "{} must be a table, but is another kind of relation",
    NO_RIGHTS: "the role lacks rights; as the owner of the tables, run `{}`",
    "row security": "it hides every row, because there is no policy; as the owner, run `{}`",
    READ_ONLY: "{}; requests that only read are served",
    UNCHECKED: "as the owner of the tables, run `{}`",
}
# With these obstacles, existing tables look as if they were missing.
HIDING = ("no rights on the schema", "search path")

# The function of 0003.
NEXT_UPDATE = "tasks_next_update(timestamptz)"

# Each row is a kind, and the text for its clause. A right on a column counts as a right on the
# table. If it is not enough, the statement that needs more fails. Postgres ignores a schema in the
# search path if the role has no USAGE on it.
_OBSTACLES = """
WITH needed AS (SELECT name, to_regclass(name) AS id FROM unnest(ARRAY[{tables}]) AS name),
unseen AS (
    SELECT n.oid, n.nspname FROM pg_namespace AS n JOIN pg_class AS c ON c.relnamespace = n.oid
    JOIN needed ON c.relname = needed.name
    WHERE c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM needed WHERE id IS NULL)
    GROUP BY n.oid, n.nspname HAVING count(*) = (SELECT count(*) FROM needed)
)
SELECT 'no rights on the schema', format('GRANT USAGE ON SCHEMA %I TO %I', nspname, current_user)
FROM unseen WHERE NOT has_schema_privilege(oid, 'USAGE')
UNION ALL
SELECT 'search path', format('ALTER ROLE %I SET search_path = %I', current_user, nspname)
FROM unseen WHERE has_schema_privilege(oid, 'USAGE')
UNION ALL
SELECT 'not a table', name FROM needed JOIN pg_class ON pg_class.oid = id
WHERE relkind NOT IN ('r', 'p', 'f')
UNION ALL
SELECT 'no rights', format('GRANT %s ON %s TO %I', string_agg(p, ', '), id, current_user)
FROM needed, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p
WHERE NOT CASE p WHEN 'DELETE' THEN has_table_privilege(id, p)
    ELSE has_any_column_privilege(id, p) END
GROUP BY id
UNION ALL
SELECT 'no rights', format('GRANT USAGE ON SEQUENCE %s TO %I', s.oid::regclass, current_user)
FROM needed JOIN pg_depend ON refobjid = id AND refclassid = 'pg_class'::regclass
JOIN pg_class AS s ON s.oid = objid AND classid = refclassid
WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') END
UNION ALL
SELECT 'no rights', format('GRANT EXECUTE ON FUNCTION %s TO %I', f, current_user)
FROM to_regprocedure('{function}') AS f
WHERE NOT has_function_privilege(f, 'EXECUTE')
UNION ALL
SELECT 'no right to read it', format('GRANT SELECT ON %s TO %I', id, current_user)
FROM to_regclass('alembic_version') AS id
WHERE NOT has_any_column_privilege(id, 'SELECT')
UNION ALL
SELECT 'row security', format('CREATE POLICY task_api ON %s TO %I USING (true)', id, current_user)
FROM needed
WHERE row_security_active(id) AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = id)
UNION ALL
SELECT 'read-only', CASE WHEN pg_is_in_recovery()
    THEN 'the server is a standby: DATABASE_URL must lead to the primary'
    ELSE 'transactions are read-only by default (default_transaction_read_only)' END
WHERE current_setting('transaction_read_only')::boolean
"""


@cache
def obstacles() -> str:
    """Return SQL for an array of the obstacles, each as an array of its kind and a text."""
    tables = ", ".join(f"'{table.name}'" for table in SQLModel.metadata.sorted_tables)
    rows = _OBSTACLES.replace("{tables}", tables).replace("{function}", NEXT_UPDATE)
    return f"ARRAY(SELECT ARRAY[kind, text] FROM ({rows}) AS found (kind, text) ORDER BY 1)"  # noqa: S608


def worst(found: list[list[str]]) -> Obstacle | None:
    """Return the obstacle to remove first, with all texts of its kind.

    If the role lacks rights, the statements include the right to read the version.
    """
    kinds = {kind for kind, _ in found}
    for kind, clause in CLAUSES.items():
        if kind in kinds:
            named = (NO_RIGHTS, UNCHECKED) if kind == NO_RIGHTS else (kind,)
            texts = [text for name in named for each, text in found if each == name]
            return Obstacle(kind, clause.format("; ".join(texts)))
    return None
