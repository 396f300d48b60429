"""The plans that Postgres makes for the service's prepared statements."""

from typing import Any

from psycopg2.extensions import cursor as Cursor

from postgres.prepared import Statement

# At first, Postgres plans a prepared statement for the parameters of each execution (custom). Later
# it may make one plan for all parameters (generic).
PLANS = ("custom", "generic")


def plan_of(cursor: Cursor, statement: Statement, values: dict[str, Any], kind: str) -> str:
    """Execute the statement with a plan of one of PLANS, and return the plan."""
    prepare, _, _ = statement.prepare.partition("; EXECUTE")
    cursor.execute("DEALLOCATE ALL")
    cursor.execute(f"SET plan_cache_mode = force_{kind}_plan")
    cursor.execute(prepare.replace("%%", "%"))
    cursor.execute("EXPLAIN (ANALYZE, TIMING OFF) " + statement.execute, values)
    return "\n".join(line for (line,) in cursor)
