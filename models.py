"""The tables, their rules and their indexes."""

from datetime import datetime

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Identity,
    Index,
    LargeBinary,
    String,
    Text,
    event,
    false,
    func,
)
from sqlmodel import Field, SQLModel

USER_ID_LENGTH = 255
TITLE_LENGTH = 200
DESCRIPTION_LENGTH = 1000
IDEMPOTENCY_KEY_LENGTH = 255


class Task(SQLModel, table=True):
    """One task of one user. Only the database sets `id` and the times."""

    __tablename__ = "tasks"
    # The types limit the title and the description. The CHECKs do not repeat these limits, because
    # each INSERT and UPDATE parses and plans every CHECK of the table again, also those of columns
    # that it does not change.
    __table_args__ = (
        CheckConstraint(
            f"char_length(user_id) BETWEEN 1 AND {USER_ID_LENGTH}", "tasks_user_id_length"
        ),
        CheckConstraint("title <> ''", "tasks_title_length"),
    )

    id: int | None = Field(
        default=None, primary_key=True, sa_type=BigInteger, sa_column_args=[Identity(always=True)]
    )
    user_id: str = Field(sa_type=Text)
    title: str = Field(sa_type=String(TITLE_LENGTH))
    description: str | None = Field(default=None, sa_type=String(DESCRIPTION_LENGTH))
    completed: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    created_at: datetime = Field(sa_column_kwargs={"server_default": func.now()})
    updated_at: datetime = Field(sa_column_kwargs={"server_default": func.now()})


tasks = SQLModel.metadata.tables["tasks"]

# Postgres reads a page from these indexes in order, forwards or backwards, whatever the filter,
# order and depth. `id` makes the order total. Each filter has partial indexes. If it had indexes
# that begin with `completed` instead, Postgres would sometimes choose the index of all tasks and
# discard most of what it reads. No index has all tasks by title: each task would take longer to
# insert and to change. So a page of all tasks by title is merged (tasks/queries.py).
CREATED = (tasks.c.user_id, tasks.c.created_at, tasks.c.id)
TITLE = (tasks.c.user_id, func.lower(tasks.c.title), tasks.c.id)
FILTERS = {"pending": tasks.c.completed.is_(False), "completed": tasks.c.completed.is_(True)}
Index("tasks_by_created", *CREATED)
for status, condition in FILTERS.items():
    Index(f"tasks_{status}_by_created", *CREATED, postgresql_where=condition)
    Index(f"tasks_{status}_by_title", *TITLE, postgresql_where=condition)

# Returns the new `updated_at` of a task: the current time, but always later than the old value,
# even if both changes are in the same microsecond or the clock was set back.
#
# The function is declared IMMUTABLE although it reads the clock, because Citus accepts no other
# functions in SET. That is safe because its argument is a column: Postgres evaluates it for each
# row and never in advance. It is in PL/pgSQL, which caches the plan of the expression. Functions in
# SQL do so only from PostgreSQL 18 on.
NEXT_UPDATE = DDL(  # type: ignore[no-untyped-call]
    """\
CREATE FUNCTION tasks_next_update(updated_at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RETURN greatest(clock_timestamp(), updated_at + interval '1 microsecond'); END $$"""
)
event.listen(tasks, "after_create", NEXT_UPDATE)


class IdempotencyKey(SQLModel, table=True):
    """A record that a user's request was executed, in case the client sends it again.

    It has a digest of the request's body, but not the body.
    """

    __tablename__ = "idempotency_keys"

    user_id: str = Field(primary_key=True, sa_type=Text)
    key: str = Field(primary_key=True, sa_type=String(IDEMPOTENCY_KEY_LENGTH))
    fingerprint: bytes = Field(sa_type=LargeBinary)
    task_id: int = Field(sa_type=BigInteger)
    created_at: datetime = Field(sa_column_kwargs={"server_default": func.now()})


idempotency_keys = SQLModel.metadata.tables["idempotency_keys"]
Index("idempotency_keys_by_created", idempotency_keys.c.created_at)
