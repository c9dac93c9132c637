"""The files in which an agent finds the evidence of the signals that it works on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from squire_pipelines.domain.evidence import describe
from squire_pipelines.domain.signals import Signal

EVIDENCE_FOLDER = "evidence"
MAX_FILES = 20
MAX_FILE_CHARS = 128 * 1024


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """One file: its name, which is ours alone, its text, and which of the task's signals it is about, from 1 on.

    `number` is None where it is about none of them, but about the task.
    """

    name: str
    number: int | None
    text: str


def evidence_files(refs: Sequence[str], signals: Sequence[Signal]) -> tuple[EvidenceFile, ...]:
    """Return a file for each signal that has evidence. `refs` are the task's, whose order gives the numbers."""
    numbers = {ref: number for number, ref in enumerate(refs, 1)}
    files = []
    for signal in signals:
        text = describe(signal.evidence) if signal.evidence is not None else ""
        if text and signal.ref in numbers:
            number = numbers[signal.ref]
            head = f"signal: {signal.ref}\ntitle: {signal.title}\nurl: {signal.url}\n\n"
            files.append(EvidenceFile(f"{number}-{signal.kind.value}.txt", number, (head + text)[:MAX_FILE_CHARS]))
    return tuple(files[:MAX_FILES])
