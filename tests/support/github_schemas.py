"""GitHub's published schemas, as `scripts/github-schemas.sh` installs them, for tests that compare us with them."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build/github-schemas/node_modules/@octokit"


def schema_file(relative: str) -> Path:
    """A file of the packages under `@octokit`. Skips the test when it is missing, or fails it where none may skip."""
    path = FOLDER / relative
    if not path.is_file():
        reason = f"{path.relative_to(ROOT)} is missing: run scripts/github-schemas.sh"
        if os.environ.get("SQUIRE_TEST_NO_SKIP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
