"""Of each feed a digest, by which what was published last is recognised: its entries are taken from there."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    digest = sa.Column("digest", sa.LargeBinary(), nullable=False, server_default=sa.text("x''"))
    op.add_column("terms", digest)
