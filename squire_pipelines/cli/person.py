"""The person at the command line: the name that the records have for them, and questions to them."""

import os
import select
import sys

import click

from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import RefusedError
from squire_pipelines.process_setup import user_name
from squire_pipelines.terminal import output

PIPE_WAIT_S = 5.0
"""So long a pipe is waited for that nobody writes to."""

MAX_ANSWER_BYTES = 10_000


def actor() -> str:
    """Return who gives the command, for the records."""
    return f"cli:{user_name()}"[:60]


def is_at_terminal() -> bool:
    """Return whether a person answers at a terminal. Standard input may be closed."""
    return sys.stdin is not None and sys.stdin.isatty()


def piped_answer() -> str | None:
    """Return the next line of a standard input that is no terminal; None at its end, and where none comes in time.

    It is read sign by sign: what lies in a buffer, no later look at the pipe would show.
    """
    if sys.stdin is None:
        return None
    try:
        number = sys.stdin.fileno()
    except (OSError, ValueError):  # closed, or no file of the system
        text = "" if sys.stdin.closed else sys.stdin.readline()
        return text.rstrip("\r\n") if text else None
    line = bytearray()
    deadline = Deadline.after(PIPE_WAIT_S)
    while len(line) < MAX_ANSWER_BYTES and select.select([number], [], [], deadline.remaining_s)[0]:
        sign = os.read(number, 1)
        if not sign and not line:
            return None
        if sign in {b"", b"\n"}:
            return line.decode(errors="replace").rstrip("\r")
        line += sign
    return None


def answer_to(question: str, *, default: str | None = None) -> str | None:
    """Return what a person or a pipe answers; None where nobody does. Raises click.Abort at Ctrl-C."""
    if is_at_terminal():
        return output.ask(question, default=default)
    return piped_answer()


def confirm(question: str, *, hint: str) -> None:
    """Ask whether to do what `question` says, at a terminal or of a pipe: `yes | squire …`.

    Raises:
        click.Abort: The answer is no.
        RefusedError: Nobody answers, or neither yes nor no.
    """
    if is_at_terminal():
        output.confirm(f"{question[:1].upper()}{question[1:]}?")
        return
    answer = piped_answer()
    if answer is None:
        raise RefusedError(f"nobody is there to ask whether to {question}", hint=hint)
    word = answer.strip().lower()
    if word in {"n", "no"}:
        raise click.Abort
    if word not in {"y", "yes"}:
        raise RefusedError(f"{answer[:40]!r} is neither yes nor no to whether to {question}", hint=hint)
