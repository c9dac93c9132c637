"""What Squire says on its own pull requests: answers to remarks, and why it leaves one to people. Pure.

An agent's verdict on a remark is a line of its last message, as it was asked for. It is shown as its words, and works
nothing: see `publishing.escaping`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from squire_pipelines.publishing.escaping import code, one_line

ANSWERS = "What Squire did about remarks that have no thread:"
"""How the comment begins that answers them."""

_MAX_REASON = 600
_MAX_VERDICTS = 100
_VERDICT = re.compile(
    r"^[\s>*_`-]{0,10}remark\s{1,3}#?(?P<number>\d{1,3})[*_`\s]{0,5}[:.)-]{1,2}[*_`\s]{0,5}(?P<verdict>done|declined)\b"
    r"[*_`\s]{0,5}(?:[:,.;\u2013\u2014-]{1,2}\s{0,3}(?P<reason>.{0,2000}))?$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class RemarkVerdict:
    """What an agent says it did about one remark; `reason` is empty where it gave none."""

    done: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WorkDone:
    """How a round of work on a pull request ended.

    Args:
        task_id: Its task.
        attempt_id: Its last attempt; None where there was none.
        head_sha: The commit that it pushed; None where it pushed none.
        failure: Why it failed; None where it did not.
        words: What the agent said last.
    """

    task_id: str
    attempt_id: str | None
    head_sha: str | None
    failure: str | None
    words: str


@dataclass(frozen=True, slots=True)
class ReplyToRemark:
    """What is said to one remark; `settled` where the change that it asks for was made."""

    text: str
    settled: bool


def parse_verdicts(words: str) -> Mapping[int, RemarkVerdict]:
    """Return the agent's verdicts by the remark's number, from 1; of two on one remark the last."""
    verdicts: dict[int, RemarkVerdict] = {}
    for match in _VERDICT.finditer(words):
        if len(verdicts) < _MAX_VERDICTS:
            reason = (match["reason"] or "").strip()
            verdicts[int(match["number"])] = RemarkVerdict(match["verdict"].lower() == "done", reason)
    return verdicts


def answers(work: WorkDone, count: int) -> Sequence[ReplyToRemark]:
    """Return what is said to each of so many remarks, in the order in which the agent was given them."""
    verdicts = parse_verdicts(work.words)
    return [_answer(work, verdicts.get(number)) for number in range(1, count + 1)]


def _answer(work: WorkDone, verdict: RemarkVerdict | None) -> ReplyToRemark:
    task = f"(task {code(work.task_id)})"
    if work.failure is not None:
        return ReplyToRemark(
            f"Squire has not managed this: {one_line(work.failure, limit=_MAX_REASON)} {task}", settled=False
        )
    commit = f" in {work.head_sha}" if work.head_sha else ""
    reason = one_line(verdict.reason, limit=_MAX_REASON) if verdict is not None and verdict.reason else ""
    if verdict is not None and verdict.done and commit:
        return ReplyToRemark(f"Done{commit}{f': {reason}' if reason else '.'} {task}", settled=True)
    if verdict is not None and not verdict.done:
        return ReplyToRemark(f"Not changed: {reason or 'the agent gave no reason.'} {task}", settled=False)
    if commit:
        return ReplyToRemark(
            f"Looked at{commit}; the agent does not say what it did about this remark. {task}", settled=False
        )
    return ReplyToRemark(f"Nothing was changed, and the agent gives no reason. {task}", settled=False)


def last_answer(text: str, count: int) -> str:
    """Return an answer after which Squire answers no more in its thread, with a sentence that says so."""
    times = "once" if count == 1 else f"{count} times"
    return f"{text}\n\nSquire has answered here {times}, and leaves what is said in this thread from now on to people."


def expired(reason: str) -> str:
    """Return the comment that says why Squire closed a pull request of its own."""
    return (
        f"Squire has closed this pull request, since {reason}. Its branch is kept: whoever wants it opens the pull "
        "request again, and Squire follows it from there. What it is about is not tried again by itself."
    )


TAKEN_UP = "Squire goes on with this pull request, since somebody who may write asked for it."
"""What is said where it was said before that a pull request is left to people."""


GOES_ON = (
    "Squire goes on with this pull request: the check that failed, for which it was left to people, fails no more."
)
"""What is said where GitHub itself has taken that back."""


def left_to_people(reason: str, tried: Sequence[WorkDone]) -> str:
    """Return the comment that says why a pull request is left to people, and what was tried."""
    lines = [f"Squire leaves this pull request to people: {one_line(reason)}."]
    if tried:
        lines += ["", "What it tried:", "", *(f"- {_tried(work)}" for work in tried[-20:])]
    lines += ["", "To have it go on from the present head, somebody who may write comments `/squire retry`."]
    return "\n".join(lines)


def _tried(work: WorkDone) -> str:
    task = f"task {code(work.task_id)}"
    if work.failure is not None:
        return f"{task} failed: {one_line(work.failure, limit=_MAX_REASON)}"
    return f"{task} pushed {work.head_sha}" if work.head_sha else f"{task} ended without a change"
