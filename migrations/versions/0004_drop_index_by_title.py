"""Drop the index of all tasks by title, because two others replace it (tasks/queries.py)."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("tasks_by_title", "tasks", if_exists=True)


def downgrade() -> None:
    op.create_index("tasks_by_title", "tasks", ["user_id", sa.text("lower(title)"), "id"])
