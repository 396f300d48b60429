"""Replace the six indexes of tasks by two."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEYS = {"created": "created_at", "title": "lower(title)"}


def upgrade() -> None:
    for order, key in KEYS.items():
        op.execute(f"DROP INDEX tasks_by_{order}")
        op.execute(f"CREATE INDEX tasks_by_{order} ON tasks (user_id, completed, {key}, id)")
        for status in ("pending", "completed"):
            op.execute(f"DROP INDEX tasks_{status}_by_{order}")


def downgrade() -> None:
    for order, key in KEYS.items():
        op.execute(f"DROP INDEX tasks_by_{order}")
        op.execute(f"CREATE INDEX tasks_by_{order} ON tasks (user_id, {key}, id)")
        for status, value in {"pending": "false", "completed": "true"}.items():
            op.execute(
                f"CREATE INDEX tasks_{status}_by_{order} ON tasks (user_id, {key}, id)"
                f" WHERE completed IS {value}"
            )
