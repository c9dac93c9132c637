"""What lets somebody act on a signal without asking: the log of a failed check, its annotations, a whole conversation.

Everything here was written by others. Its bounds are kept where it is made and checked where it is read again.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

from squire_pipelines.domain.authority import Author
from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.text import shorten

MAX_LOG_LINES = 200
MAX_LOG_BYTES = 32 * 1024
"""Of one check's log, in UTF-8."""

MAX_CHECKS_PER_TASK = 5
"""Most failed checks of one head that logs and annotations are read of."""

MAX_ANNOTATIONS = 20
MAX_COMMENTS = 30
_MAX_TEXT_CHARS = 20_000
_MAX_MESSAGE_CHARS = 2_000
_MAX_HUNK_CHARS = 8_000
_MAX_NAME_CHARS = 500


def _cut_to(limit: int) -> AfterValidator:
    return AfterValidator(lambda text: shorten(text, limit))


Name = Annotated[str, _cut_to(_MAX_NAME_CHARS)]
Message = Annotated[str, _cut_to(_MAX_MESSAGE_CHARS)]
LongText = Annotated[str, _cut_to(_MAX_TEXT_CHARS)]
LogText = Annotated[str, _cut_to(MAX_LOG_BYTES)]
Hunk = Annotated[str, _cut_to(_MAX_HUNK_CHARS)]


class Absence(StrEnum):
    """Why a log or annotations could not be read."""

    EXPIRED = "expired"
    FORBIDDEN = "may not be read"
    UNAVAILABLE = "could not be read"
    NONE = "there is none"


class Annotation(FrozenModel):
    """A line of a file that a check complains about."""

    path: Name
    line: int | None = None
    end_line: int | None = None
    level: Name = ""
    title: Name = ""
    message: Message = ""


class JobLog(FrozenModel):
    """The part of a job's log around its first error, or why there is none."""

    job: Name
    step: Name | None = None
    text: LogText = ""
    lines_left_out: int = 0
    absent: Absence | None = None


class Comment(FrozenModel):
    """One remark of a conversation. `state` is that of a review, such as `changes_requested`.

    `by` wrote it, and `editor` changed it last. `may_ask` says whether work may start from what they write. `digest` is
    that of the whole text, of which `body` may be a part.
    """

    author: Name
    body: LongText
    written_at: datetime
    state: Name | None = None
    by: Author | None = None
    editor: Author | None = None
    may_ask: bool = False
    digest: Name = ""


class SignalEvidence(FrozenModel):
    """What is known of a signal beyond its title.

    Of a failed check: `log`, `annotations`, and `report`, which is the check's own text. Of a remark: `comments`, the
    thread, oldest first, where others than who may ask are told as such; `conversation`, what people who may ask said
    on the pull request beside it; `diff_hunk`, the code that it is about; `suggestion`, the change that it proposes.
    `source` names what this was read from, so that it is not read twice.
    """

    source: Name = ""
    log: JobLog | None = None
    annotations: tuple[Annotation, ...] = ()
    annotations_absent: Absence | None = None
    report: LongText = ""
    comments: tuple[Comment, ...] = ()
    conversation: tuple[Comment, ...] = ()
    diff_hunk: Hunk = ""
    suggestion: LongText = ""


def describe(evidence: SignalEvidence, *, log_chars: int = MAX_LOG_BYTES) -> str:
    """Return the evidence as text for a reader, a heading above each part; empty when there is nothing to tell."""
    return "\n\n".join(f"{heading}:\n{text}" for heading, text in parts_of(evidence, log_chars=log_chars))


def parts_of(evidence: SignalEvidence, *, log_chars: int = MAX_LOG_BYTES) -> tuple[tuple[str, str], ...]:
    """Return each part that there is with its heading. Of a long log the middle is left out."""
    parts = [
        (_log_heading(evidence.log), _log_text(evidence.log, log_chars)) if evidence.log else ("", ""),
        ("annotations", "\n".join(map(_annotation_line, evidence.annotations)) or _absent(evidence.annotations_absent)),
        ("report of the check", evidence.report),
        ("code that the remark is about", evidence.diff_hunk),
        ("thread", _conversation(evidence.comments)),
        ("suggested change", evidence.suggestion),
        ("conversation on the pull request", _conversation(evidence.conversation)),
    ]
    return tuple((heading, text) for heading, text in parts if text.strip())


def beside_body(evidence: SignalEvidence, *, with_conversation: bool = False) -> SignalEvidence:
    """Return the evidence without what stands elsewhere: a thread's first comment, the conversation beside it."""
    update: dict[str, object] = {"comments": evidence.comments[1:]}
    return evidence.model_copy(update=update if with_conversation else update | {"conversation": ()})


def _log_heading(log: JobLog) -> str:
    step = f", step {log.step}" if log.step else ""
    return f"log of the job {log.job}{step}" + (f", without {log.lines_left_out} lines" if log.lines_left_out else "")


def _log_text(log: JobLog, limit: int) -> str:
    if log.absent is not None:
        return f"(absent: {log.absent})"
    if len(log.text) <= limit:
        return log.text
    cut_note = "\n… (cut)\n"
    half = max(limit - len(cut_note), 2) // 2
    return log.text[:half] + cut_note + log.text[-half:]


def _absent(absence: Absence | None) -> str:
    return f"(absent: {absence})" if absence not in {None, Absence.NONE} else ""


def _annotation_line(annotation: Annotation) -> str:
    place = annotation.path + (f":{annotation.line}" if annotation.line else "")
    text = ": ".join(part for part in (annotation.title, annotation.message) if part)
    return f"{place}: {annotation.level}: {text}" if annotation.level else f"{place}: {text}"


def _conversation(comments: tuple[Comment, ...]) -> str:
    return "\n\n".join(
        f"@{comment.author}, {comment.written_at.isoformat(timespec='seconds')}{_standing(comment)}:\n{comment.body}"
        for comment in comments
    )


def _standing(comment: Comment) -> str:
    notes = [comment.state, None if comment.may_ask else "may not give orders here"]
    return "".join(f" ({note})" for note in notes if note)
