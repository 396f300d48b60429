"""Find the functions that a statement uses, and those that Citus refuses.

Postgres itself parses the statement, as the body of an SQL function, and keeps the tree in
`pg_proc.prosqlbody`. Citus 13 has these rules (docs/scaling.md).
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from psycopg2.extensions import cursor as Cursor

from postgres.prepared import Statement

SELECT, UPDATE, INSERT, DELETE = 1, 2, 3, 4  # CmdType in Postgres' nodes.h
IMMUTABLE, STABLE, VOLATILE = "i", "s", "v"  # provolatile

TOKEN = re.compile(r"\\.|[(){}]|(?:\\.|[^\s(){}\\])+")
# The fields of a tree that hold the OIDs of functions and of operators.
FUNCTIONS = ("funcid", "opfuncid", "aggfnoid", "winfnoid")
OPERATORS = ("opno", "opnos")
# The fields that hold the types of a conversion through text (CoerceViaIO).
TYPES = ("vartype", "paramtype", "consttype", "funcresulttype", "opresulttype", "resulttype")


class Node(NamedTuple):
    """A node of a tree: its name, such as QUERY, and its fields."""

    name: str
    fields: dict[str, Any]


class Use(NamedTuple):
    """A function that Citus refuses, and the part of the statement that uses it."""

    part: str
    function: str


def refused(cursor: Cursor, statement: Statement) -> list[Use]:
    """Return the functions that Citus refuses in `statement`."""
    found: list[Use] = []
    for query in nodes(tree(cursor, statement)):
        if query.name == "QUERY" and int(query.fields["commandType"]) != SELECT:
            found += _refused(cursor, query)
    return found


def _refused(cursor: Cursor, query: Node) -> Iterator[Use]:
    """Yield the functions that Citus refuses in one query.

    In SET, RETURNING and ON CONFLICT, Citus accepts only IMMUTABLE functions. In WHERE it refuses
    VOLATILE functions, and STABLE functions of columns.
    """
    fields = query.fields
    parts = {"RETURNING": fields["returningList"], "ON CONFLICT": fields["onConflict"]}
    if int(fields["commandType"]) == UPDATE:
        parts["SET"] = fields["targetList"]
    for part, inside in parts.items():
        for name, volatility in used(cursor, inside):
            if volatility != IMMUTABLE:
                yield Use(part, name)
    for node in nodes(fields["jointree"]):
        has_column = any(inner.name == "VAR" for inner in nodes(list(node.fields.values())))
        for name, volatility in _called(cursor, node):
            if volatility == VOLATILE or (volatility == STABLE and has_column):
                yield Use("WHERE", name)


def used(cursor: Cursor, inside: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and the volatility of each function in part of a tree."""
    for node in nodes(inside):
        yield from _called(cursor, node)


def _called(cursor: Cursor, node: Node) -> Iterator[tuple[str, str]]:
    """Yield the functions that the node itself calls."""
    if node.name == "NEXTVALUEEXPR":
        yield "nextval", VOLATILE
    if node.name == "SQLVALUEFUNCTION":
        yield "current_timestamp or another of its kind", STABLE
    functions = [oid for name in FUNCTIONS for oid in oids(node.fields.get(name))]
    operators = [oid for name in OPERATORS for oid in oids(node.fields.get(name))]
    types: list[int] = []
    if node.name == "COERCEVIAIO":
        types = [oid for each in (node, node.fields["arg"]) for oid in _types(each)]
    cursor.execute(
        """
        SELECT oid::regprocedure::text, provolatile::text FROM pg_proc
        WHERE oid = ANY (%(functions)s::oid[])
            OR oid IN (SELECT oprcode FROM pg_operator WHERE oid = ANY (%(operators)s::oid[]))
            OR oid IN (SELECT unnest(ARRAY[typinput, typoutput]) FROM pg_type
                       WHERE oid = ANY (%(types)s::oid[]))
        """,
        {"functions": functions, "operators": operators, "types": types},
    )
    yield from cursor.fetchall()


def _types(node: Node) -> list[int]:
    return [oid for name in TYPES for oid in oids(node.fields.get(name))]


def oids(value: Any) -> list[int]:
    """Return the OIDs of a field: one, a list such as `(o 1 2)`, or none."""
    words = value if isinstance(value, list) else [value]
    return [int(word) for word in words if isinstance(word, str) and word.isdecimal()]


def nodes(inside: Any) -> Iterator[Node]:
    """Yield every node of a tree, the outer ones first."""
    if isinstance(inside, Node):
        yield inside
        inside = list(inside.fields.values())
    if isinstance(inside, list):
        for each in inside:
            yield from nodes(each)


def tree(cursor: Cursor, statement: Statement) -> Any:
    """Return the query tree into which Postgres parses `statement`."""
    prepare, _, _ = statement.prepare.partition("; EXECUTE")
    cursor.execute(prepare.replace("%%", "%"))
    cursor.execute("SELECT parameter_types::text[] FROM pg_prepared_statements")
    [(types,)] = cursor.fetchall()
    cursor.execute("DEALLOCATE ALL")
    body = statement.sql % _numbers()
    cursor.execute(
        f"CREATE FUNCTION pg_temp.body({', '.join(types)}) RETURNS void BEGIN ATOMIC {body}; END"
    )
    cursor.execute("SELECT prosqlbody::text FROM pg_proc WHERE oid = 'pg_temp.body'::regproc")
    [(text,)] = cursor.fetchall()
    cursor.execute("DROP FUNCTION pg_temp.body")
    return parsed(text)


def _numbers() -> defaultdict[str, str]:
    numbers: defaultdict[str, str] = defaultdict(lambda: f"${len(numbers) + 1}")
    return numbers


def parsed(text: str) -> Any:
    """Return the tree that Postgres wrote as text (its nodes/README and read.c)."""
    tokens = iter(TOKEN.findall(text))
    return _value(next(tokens), tokens)


def _value(token: str, tokens: Iterator[str]) -> Any:
    if token == "{":
        return _node(tokens)
    if token == "(":
        return [_value(each, tokens) for each in iter(lambda: next(tokens), ")")]
    return token


def _node(tokens: Iterator[str]) -> Node:
    """Read a node after its bracket. A field without a value or with several words is a list."""
    node = Node(next(tokens), {})
    name = ""
    for token in iter(lambda: next(tokens), "}"):
        if token.startswith(":"):
            name = token[1:]
            node.fields[name] = []
        else:
            node.fields[name].append(_value(token, tokens))
    for name, values in node.fields.items():
        if len(values) == 1:
            node.fields[name] = values[0]
    return node
