"""Drop the CHECKs that repeat the limits of a type.

A release before this one needs none of them: it checks these limits itself.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint("tasks_description_length", "tasks", if_exists=True)
    op.drop_constraint("tasks_title_length", "tasks", if_exists=True)
    op.create_check_constraint(
        "tasks_title_length", "tasks", "title <> ''", postgresql_not_valid=True
    )


def downgrade() -> None:
    op.drop_constraint("tasks_title_length", "tasks")
    op.create_check_constraint(
        "tasks_title_length", "tasks", "char_length(title) BETWEEN 1 AND 200"
    )
    op.create_check_constraint(
        "tasks_description_length", "tasks", "char_length(description) <= 1000"
    )
