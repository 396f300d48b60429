"""Create the function tasks_next_update."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """\
CREATE OR REPLACE FUNCTION tasks_next_update(updated_at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RETURN greatest(clock_timestamp(), updated_at + interval '1 microsecond'); END $$"""
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS tasks_next_update(timestamptz)")
