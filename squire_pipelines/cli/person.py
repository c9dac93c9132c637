"""The person at the command line: the name that the records have for them, and questions to them."""

import sys

from squire_pipelines.errors import RefusedError
from squire_pipelines.process_setup import user_name
from squire_pipelines.terminal import output


def actor() -> str:
    """Return who gives the command, for the records."""
    return f"cli:{user_name()}"[:60]


def confirm(question: str, *, hint: str) -> None:
    """Ask whether to do what `question` says and abort on a no. Raises RefusedError when nobody can answer."""
    if not sys.stdin.isatty():
        raise RefusedError(f"nobody is there to ask whether to {question}", hint=hint)
    output.confirm(f"{question[:1].upper()}{question[1:]}?")
