"""Create the table tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("description", sa.String(1000), nullable=True),
        sa.Column("completed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", TIME, server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("char_length(user_id) BETWEEN 1 AND 255", "tasks_user_id_length"),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 200", "tasks_title_length"),
        sa.CheckConstraint("char_length(description) <= 1000", "tasks_description_length"),
        sa.PrimaryKeyConstraint("id"),
    )
    keys: dict[str, str | sa.TextClause] = {
        "created": "created_at",
        "title": sa.text("lower(title)"),
    }
    for order, key in keys.items():
        columns: list[str | sa.TextClause] = ["user_id", key, "id"]
        op.create_index(f"tasks_by_{order}", "tasks", columns)
        for status, condition in {"pending": "IS false", "completed": "IS true"}.items():
            where = sa.text(f"completed {condition}")
            name = f"tasks_{status}_by_{order}"
            op.create_index(name, "tasks", columns, postgresql_where=where)


def downgrade() -> None:
    op.drop_table("tasks")
