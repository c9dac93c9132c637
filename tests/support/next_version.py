"""The next version of Squire, made of a copy of this source: one more migration, and fields that are new in it.

Its programs run with the copy's folder as their working directory and before all else on their path.
"""

import re
import shutil
from pathlib import Path

from squire_pipelines.ledger import HEAD_REVISION
from tests.support.figures import ROOT

VERSION = "99.0.0"
REVISION = f"{int(HEAD_REVISION) + 1:04}"
LATER = "by the next version"
"""What the next version writes into its column, its field of evidence and its messages."""

_MIGRATION = f'''"""What the next version adds."""

import sqlalchemy as sa
from alembic import op

revision = "{REVISION}"
down_revision = "{HEAD_REVISION}"
branch_labels = None
depends_on = None

OLDEST_PROGRAM = "{HEAD_REVISION}"


def upgrade() -> None:
    """Apply."""
    op.add_column("worker_runs", sa.Column("later", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("worker_runs", "later")
'''


def make_next_version(folder: Path) -> Path:
    """Write the next version into a new folder below `folder`, and return that."""
    copy = folder / "next"
    shutil.copytree(ROOT / "squire_pipelines", copy / "squire_pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "dagster.yaml", "workspace.yaml", "worker-image"):
        (copy / name).symlink_to(ROOT / name)
    package = copy / "squire_pipelines"
    (package / f"ledger/migrations/versions/r{REVISION}_next.py").write_text(_MIGRATION, encoding="utf-8")
    _change(package / "__init__.py", r'__version__ = ".*"', f'__version__ = "{VERSION}"')
    _change(package / "ledger/__init__.py", f'HEAD_REVISION = "{HEAD_REVISION}"', f'HEAD_REVISION = "{REVISION}"')
    column = f'Column("run_id", String(40), primary_key=True),\n    Column("later", CleanText, default="{LATER}"),'
    _change(package / "ledger/worker_tables.py", r'Column\("run_id", String\(40\), primary_key=True\),', column)
    field = f'    exit_code: int | None = None\n    later: str = "{LATER}"\n    oom_killed'
    _change(package / "domain/endings.py", r"    exit_code: int \| None = None\n    oom_killed", field)
    message = f'args=[run_id], kwargs={{"later": "{LATER}"}},'
    _change(package / "work_queue/broker.py", r"args=\[run_id\],", message)
    return copy


def _change(path: Path, pattern: str, text: str) -> None:
    before = path.read_text(encoding="utf-8")
    after, count = re.subn(pattern, lambda _match: text, before, count=1)
    if count != 1:
        raise ValueError(f"{path} has no {pattern}")
    path.write_text(after, encoding="utf-8")
