"""`squire signals show`: one signal with who stands behind it, what it says, and whether it may start work."""

import difflib
from collections.abc import Iterator

import click

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_context, write_fields
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import repository_option
from squire_pipelines.cli.text import age, instant
from squire_pipelines.domain.authority import ActorKind, Author
from squire_pipelines.domain.evidence import parts_of
from squire_pipelines.domain.signals import (
    FailedCheck,
    ManualTask,
    OpenIssue,
    PluginFact,
    ReviewFinding,
    Signal,
    is_from_file,
)
from squire_pipelines.domain.terminal_text import plain
from squire_pipelines.ledger import decisions, episodes
from squire_pipelines.ledger.decisions import StoredSignal
from squire_pipelines.ledger.episodes import EpisodeEvent
from squire_pipelines.terminal.output import write_line

_MAX_LINES = 60

ref_argument = click.argument("signal", metavar="REF|ID")


@command(
    "show",
    examples=("squire signals show open_issue:12", "squire signals show review_finding:T1 --repository owner/name"),
)
@ref_argument
@repository_option
@json_option
@with_context
def show(context: CliContext, signal: str, repository: str | None, *, as_json: bool) -> None:
    """Show a signal: who wrote it, what it says, when, and whether it may start work.

    A signal that is held says why, and who can release it. An issue that was changed after it was approved is shown
    with the text that was approved and the difference.
    """
    with context.ledger.read() as tx:
        stored = decisions.find(tx, signal, repository=repository)
        events = episodes.history(tx, stored.signal)
        now = tx.now
    if as_json:
        emit_json({**_document(stored), "episodes": events})
        return
    columns: Columns = {
        "signal": lambda row: row.signal.ref,
        "id": "id",
        "repository": lambda row: row.signal.repository,
        "title": lambda row: row.signal.title,
        "link": lambda row: row.signal.url,
        "who": lambda row: _who(row.signal),
        "when": lambda row: instant(row.signal.updated_at),
        "first seen": lambda row: age(row.first_seen_at, now),
        "last seen": lambda row: age(row.last_seen_at, now),
        "gone": lambda row: age(row.gone_at, now) if row.gone_at else None,
        "may start work": lambda row: verdict_of(row.signal),
    }
    write_fields(stored, columns)
    for line in (*_history(stored.signal), *map(_happened, events)):
        write_line(f"  {plain(line)}")
    _write_text("What it says", _text(stored.signal))
    _write_text("Changed since it was approved", "\n".join(_difference(stored.signal)))
    for heading, text in parts_of(stored.signal.evidence) if stored.signal.evidence else ():
        _write_text(f"Evidence, {heading}", text)


def verdict_of(signal: Signal) -> str:
    """Return whether a signal may start work, and why, as one sentence."""
    if signal.verdict is None:
        return "not judged yet: the next collection judges it"
    return f"{'yes' if signal.verdict.may_start else 'held'}: {signal.verdict.reason}"


def _who(signal: Signal) -> str:
    if signal.author is not None:
        return _describe(signal.author)
    match signal.details:
        case ManualTask() as task:
            return task.author if is_from_file(signal) else f"{task.author}, by command"
        case PluginFact() as fact:
            return f"{fact.author or 'nobody by name'}, as the source {fact.source} says"
        case FailedCheck(on_default_branch=True) as check:
            return f"nobody alone: the default branch, {check.branch}"
        case _:
            return "an account that is gone"


def _describe(author: Author) -> str:
    kinds = {ActorKind.PERSON: "a person", ActorKind.BOT: "a bot", ActorKind.APP: "an App"}
    parts = [kinds.get(author.kind, "neither a person nor a bot")]
    if author.kind is ActorKind.PERSON:
        permission = "not known" if author.permission is None else author.permission.value
        parts.append(f"permission {permission}" + (f" ({author.note})" if author.note else ""))
        parts.append(f"association {author.association}")
    return f"@{author.login}: {', '.join(parts)}"


def _history(signal: Signal) -> Iterator[str]:
    if signal.provenance is None:
        return
    for approval in signal.provenance.approvals:
        by = _describe(approval.by) if approval.by else "somebody who is not known"
        yield f"label {approval.label} set {instant(approval.at)} by {by}"
    for change in signal.provenance.changes:
        yield f"text changed {instant(change.at)} by {_describe(change.by) if change.by else 'an account that is gone'}"
    if not signal.provenance.changes_complete:
        yield "there may be changes before the last that are not known"


def _happened(event: EpisodeEvent) -> str:
    turn = f", waits for {event.waits_for}" if event.waits_for else ""
    return f"episode {event.number}: {event.change} {instant(event.at)}{turn}"


def _text(signal: Signal) -> str:
    match signal.details:
        case OpenIssue() | ReviewFinding() | ManualTask() | PluginFact() as details:
            return details.body
        case FailedCheck() as check:
            return f"{check.conclusion} at {check.head_sha}{_cause(check)}\n{check.summary}"
        case _:
            return ""


def _cause(check: FailedCheck) -> str:
    """Return what the check failed of, where that is not the code, and what its second run brought."""
    cause = f"\nfailed of: {check.failure.value}, since {check.failure_reason}" if check.failure_reason else ""
    until = f", waited for until {instant(check.waits_until)}" if check.waits_until else ""
    note = f" ({check.rerun_note})" if check.rerun_note else ""
    return cause + (f"\nsecond run: {check.rerun}{until}{note}" if check.rerun else "")


def _difference(signal: Signal) -> Iterator[str]:
    if not isinstance(signal.details, OpenIssue) or signal.details.unapproved is None:
        return iter(())
    present = signal.details.unapproved
    approved = f"{signal.title}\n\n{signal.details.body}".splitlines()
    later = f"{present.title}\n\n{present.body}".splitlines()
    return difflib.unified_diff(approved, later, "approved", "now", lineterm="")


def _write_text(heading: str, text: str) -> None:
    lines = plain(text).strip().splitlines()
    if not lines:
        return
    write_line(f"\n{heading}:")
    for line in lines[:_MAX_LINES]:
        write_line(f"  {line}")
    if len(lines) > _MAX_LINES:
        write_line(f"  … and {len(lines) - _MAX_LINES} more lines; --json has all")


def _document(stored: StoredSignal) -> dict[str, object]:
    signal = stored.signal
    return {
        "id": stored.id,
        "ref": signal.ref,
        "may_start": signal.verdict is not None and signal.verdict.may_start,
        "reason": verdict_of(signal),
        **signal.model_dump(mode="json"),
        "decision": stored.decision.model_dump(mode="json") if stored.decision else None,
        "difference": list(_difference(signal)),
        "first_seen_at": stored.first_seen_at,
        "last_seen_at": stored.last_seen_at,
        "gone_at": stored.gone_at,
    }
