"""What a pull request tells its reviewer beside the change: the agent's last words, the order, the issues it closes."""

from collections.abc import Collection
from pathlib import Path

from squire_pipelines.agents.adapters.session import FILE as TRANSCRIPT
from squire_pipelines.agents.adapters.session import read
from squire_pipelines.agents.adapters.transcript import ModelText
from squire_pipelines.domain.signals import OpenIssue, Signal
from squire_pipelines.domain.text import shorten
from squire_pipelines.ledger import task_signals
from squire_pipelines.ledger.store import Transaction

_MAX_WORDS_CHARS = 4_000


def last_words(keep: Path) -> str:
    """Return what the agent said last for people, by the transcript in its attempt's `keep`; empty without any.

    They are an agent's: whoever shows them escapes, filters and cuts them.
    """
    last = ""
    try:
        for entry in read(keep / TRANSCRIPT):
            if isinstance(entry, ModelText) and entry.text.strip():
                last = entry.text
    except OSError:  # an agent that reports nothing has no transcript
        return ""
    return shorten(last.strip(), _MAX_WORDS_CHARS)


def resolved_issues(tx: Transaction, task_id: str, signals: Collection[Signal]) -> tuple[int, ...]:
    """Return the numbers of the issues among a task's facts that no other task is at work on.

    An issue on which several tasks work is resolved by the last of them alone.
    """
    numbers = []
    for signal in signals:
        if isinstance(signal.details, OpenIssue):
            others = [made for made in task_signals.tasks_of(tx, signal) if made.task_id != task_id and made.is_open]
            numbers += [] if others else [signal.details.number]
    return tuple(sorted(set(numbers)))
