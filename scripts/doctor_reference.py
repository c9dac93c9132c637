"""Writes docs/reference/doctor.md from the table of the checks; `--check` fails when it is not up to date."""

import sys
from pathlib import Path

from scripts.reference_page import write_or_check
from squire_pipelines.cli.doctor.run import MAX_AT_ONCE
from squire_pipelines.cli.doctor.table import CHECKS, PAID_CHECKS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "doctor.md"
_HEAD = f"""\
# What the doctor checks

<!-- Written by scripts/doctor_reference.py from the table of the checks; do not edit. -->

`squire doctor` checks what Squire needs on this machine and at GitHub. Each line is `ok`, `warn` or `fail`, and below
a line that is not ok stands what to do. The settings are checked first; then {MAX_AT_ONCE} checks run at a time, and
lines are shown as they come. A check that has used up its time fails, and the others go on.

- **The exit code** is 1 when a check failed, else 0. A warning does not count.
- **`--json`** writes a list of objects in the order below, with `name`, `status`, `message` and `next_step`.
- **`--model`** adds the check that is paid for.
- **`--fix`** first repairs what needs no decision of yours: it takes permissions of group and others from what is
  Squire's alone, makes missing folders, removes records of ended processes and files that killed processes never
  finished (not while a Squire serves the home), and writes a `config.toml` of commented defaults where there is none.
  It tells each thing that it did. Nothing of yours is removed or changed; locks need no repair, since the kernel
  releases them. With `--dry-run` it says what it would do.

Nothing else is changed, but that GitHub is asked to ping the webhook, which the inbox then has.

| line | looks at | what to do | time, s |
|---|---|---|---|
"""


def page() -> str:
    """Return the page's text."""
    rows = (f"| `{one.name}` | {one.purpose} | {one.remedy} | {one.timeout_s:g} |" for one in (*CHECKS, *PAID_CHECKS))
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), description=__doc__))
