"""GitHub's published schemas, which `scripts/github-schemas.sh` installs and tests compare the forge with."""

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "build/github-schemas/node_modules/@octokit"


def schema_file(relative: str) -> Path:
    """Return a file of the packages under `@octokit`; skip the test when it is missing, or fail where none may skip."""
    path = FOLDER / relative
    if not path.is_file():
        reason = f"{path} is missing: run scripts/github-schemas.sh"
        if os.environ.get("SQUIRE_TEST_NO_SKIP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
