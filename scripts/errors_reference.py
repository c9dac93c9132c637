"""Writes docs/reference/errors.md from the tree of errors and the causes; `--check` fails when it is not up to date."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.reference_page import write_or_check
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.remedies import CAUSES, REMEDIES
from squire_pipelines.errors import SquireError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "errors.md"
ELSEWHERE = (
    "agents.kubernetes.refusals",
    "ledger.move_note",
    "ledger.sessions",
    "backups.file_format",
    "file_store.errors",
    "ledger.task_query",
    "runtime.home_lock",
    "work_queue.broker",
)
"""The modules that have errors of their own beside `squire_pipelines.errors`."""
_HEAD = """\
# Causes and error codes

<!-- Written by scripts/errors_reference.py from the causes and the tree of errors; do not edit. -->

Messages name the values at fault and the next step. This page says what each name means, wherever it stands: in
`squire tasks show`, in the columns `cause` and `error_code` of the [warehouse](warehouse.md), in logs and in metrics.
What lies behind a message in particular is in [Troubleshooting](../troubleshooting.md).

## Causes

An attempt ends with exactly one cause. After one that is tried again, the task is `ready` until
`dispatch.max_attempts` are used.

| cause | means | tried again | what to do |
|---|---|---|---|
"""
_CODES = """
## Error codes

The command's exit code follows from the error: 1 failed, 2 usage, 3 configuration, 4 not reachable, 5 refused.

| code | means | exit code | may go away | what to do |
|---|---|---|---|---|
"""


def error_classes() -> dict[str, type[SquireError]]:
    """Return the errors by their codes."""
    for name in ELSEWHERE:
        importlib.import_module(f"squire_pipelines.{name}")
    return {error.code: error for error in sorted(_below(SquireError), key=lambda error: error.code)}


def _below(error: type[SquireError]) -> Iterator[type[SquireError]]:
    for kind in error.__subclasses__():
        if kind.__module__.startswith("squire_pipelines.") and not kind.__name__.startswith("_"):
            yield kind
        yield from _below(kind)


def page() -> str:
    """Return the page's text."""
    causes = (
        f"| `{cause}` | {CAUSES[cause].meaning} | {'yes' if cause.transient else ''} | {CAUSES[cause].remedy} |"
        for cause in Cause
    )
    codes = (_row(code, error) for code, error in error_classes().items())
    return _HEAD + "\n".join(causes) + "\n" + _CODES + "\n".join(codes) + "\n"


def _row(code: str, error: type[SquireError]) -> str:
    may_pass = "yes" if error.retryable else ""
    return f"| `{code}` | {_sentence(error)} | {int(error.exit_code)} | {may_pass} | {REMEDIES[code]} |"


def _sentence(error: type[SquireError]) -> str:
    return (error.__doc__ or "").splitlines()[0].partition(";")[0].rstrip(".") + "."


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), description=__doc__))
