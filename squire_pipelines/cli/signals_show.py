"""`squire signals show`: one signal with who stands behind it, what it says, and whether it may start work."""

from collections.abc import Iterator

import click

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_home_to_read, write_fields
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import repository_option
from squire_pipelines.cli.text import age, instant
from squire_pipelines.domain.authority import ActorKind, Author
from squire_pipelines.domain.evidence import parts_of
from squire_pipelines.domain.signal_text import changes_since_approval, signal_text
from squire_pipelines.domain.signals import (
    FailedCheck,
    ManualTask,
    OpenPullRequest,
    PluginFact,
    ReviewFinding,
    Signal,
    is_from_file,
)
from squire_pipelines.domain.terminal_text import plain
from squire_pipelines.execution.repository_settings import repository_settings
from squire_pipelines.execution.signal_decisions import verdict_of
from squire_pipelines.ledger import collections, decisions, episodes, task_signals
from squire_pipelines.ledger.covered_facts import covered_facts
from squire_pipelines.ledger.decisions import StoredSignal
from squire_pipelines.ledger.episodes import EpisodeEvent
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.task_signals import TaskOfSignal
from squire_pipelines.ledger.waiting import read_stopped
from squire_pipelines.planning.selection import PlanInputs, why_left_out
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.output import write_line

_MAX_LINES = 60
_ANY_BRANCH = "HEAD"  # what the default branch is called decides nothing

ref_argument = click.argument("signal", metavar="REF|ID")


@command(
    "show",
    examples=("squire signals show open_issue:12", "squire signals show review_finding:T1 --repository owner/name"),
)
@ref_argument
@repository_option
@json_option
@with_home_to_read
def show(context: CliContext, signal: str, repository: str | None, *, as_json: bool) -> None:
    """Show a signal: who wrote it, what it says, when, and whether it may start work.

    A signal that is held says why, and who can release it. One that may start work and becomes no task all the same
    says why, and which tasks were made of it. An issue that was changed after it was approved is shown with the text
    that was approved and the difference.
    """
    settings = repository_settings(context.ledger, context.settings).of_all
    with context.ledger.read() as tx:
        stored = decisions.find(tx, signal, repository=repository)
        events = episodes.history(tx, stored.signal)
        made = task_signals.tasks_of(tx, stored.signal)
        left_out = _why_left_out(tx, settings, stored)
        now = tx.now
    if as_json:
        emit_json({**_document(stored), "left_out": left_out, "tasks": made, "episodes": events})
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
        "text version": lambda row: row.signal.text_version,
        "where": lambda row: _where(row.signal),
        "judgement": lambda row: _judgement(row.signal),
        "may start work": lambda row: verdict_of(row.signal),
        "becomes a task": lambda _row: f"no: {left_out}" if left_out else "yes, with the next plan",
    }
    write_fields(stored, columns)
    for line in (*_history(stored.signal), *map(_happened, events), *map(_task, made)):
        write_line(f"  {plain(line)}")
    _write_text("What it says", signal_text(stored.signal))
    _write_text("Changed since it was approved", "\n".join(changes_since_approval(stored.signal)))
    for heading, text in parts_of(stored.signal.evidence) if stored.signal.evidence else ():
        _write_text(f"Evidence, {heading}", text)


def _why_left_out(tx: Transaction, settings: Settings, stored: StoredSignal) -> str | None:
    """Return why no task would be made of a signal now; None where the next plan may make one."""
    signal = stored.signal
    if stored.gone_at is not None:
        return "it is gone"
    if (waits_for := read_stopped(tx.query_runner(), [signal.repository]).get(signal.repository)) is not None:
        return f"nothing is planned in its repository, which waits for {waits_for}"
    present = collections.active_signals(tx, signal.repository)
    inputs = PlanInputs(
        repository=signal.repository,
        signals=present,
        default_branch=_ANY_BRANCH,
        issue_labels=settings.issue_labels_for(signal.repository),
        covered=covered_facts(
            tx,
            signal.repository,
            present,
            times=settings.planner.max_tasks_per_fact,
            rules=settings.trust_rules_for(signal.repository),
        ),
        max_tasks=settings.planner.max_tasks,
        filters=settings.filters_for(signal.repository).rules,
        branch_prefix=settings.publishing.branch_prefix,
    )
    return why_left_out(inputs, signal)


def _where(signal: Signal) -> str | None:
    """Return which code a remark is about, on which side of the difference, and whether it is still there."""
    if not isinstance(signal.details, ReviewFinding) or signal.details.path is None:
        return None
    remark = signal.details
    first = f"{remark.start_line}-" if remark.start_line and remark.start_line != remark.line else ""
    lines = f":{first}{remark.line}" if remark.line else ""
    side = f", {remark.side} side" if remark.side else ""
    return f"{remark.path}{lines}{side}{', outdated: this code has changed since' if remark.outdated else ''}"


def _judgement(signal: Signal) -> str | None:
    """Return what a review bot says of its finding itself, or another sender of its fact."""
    if isinstance(signal.details, PluginFact) and signal.details.severity:
        return f"severity {signal.details.severity}"
    if not isinstance(signal.details, ReviewFinding):
        return None
    remark = signal.details
    confidence = f"confidence {remark.confidence:.0%}" if remark.confidence is not None else None
    severity = f"severity {remark.severity}" if remark.severity else None
    head = f"of the commit {remark.judged_head}" if remark.judged_head else None
    return ", ".join(part for part in (severity, confidence, head) if part) or None


def _task(task: TaskOfSignal) -> str:
    version = "" if task.of_present else ", of an earlier version of it"
    return f"task {task.task_id}: {task.status}, made {instant(task.at)}{version}"


def _who(signal: Signal) -> str:
    if signal.author is not None:
        association = f", association {signal.author.association}" if signal.author.kind is ActorKind.PERSON else ""
        return _describe(signal.author) + association
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
    """Return who somebody is. What GitHub tells of labels and changes has no association of those who made them."""
    kinds = {ActorKind.PERSON: "a person", ActorKind.BOT: "a bot", ActorKind.APP: "an App"}
    parts = [kinds.get(author.kind, "neither a person nor a bot")]
    if author.kind is ActorKind.PERSON:
        permission = "not known" if author.permission is None else author.permission.value
        parts.append(f"permission {permission}" + (f" ({author.note})" if author.note else ""))
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


def _may_start(signal: Signal) -> bool:
    return not isinstance(signal.details, OpenPullRequest) and signal.verdict is not None and signal.verdict.may_start


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
        "text_version": signal.text_version,
        "may_start": _may_start(signal),
        "reason": verdict_of(signal),
        **signal.model_dump(mode="json"),
        "decision": stored.decision.model_dump(mode="json") if stored.decision else None,
        "difference": list(changes_since_approval(signal)),
        "first_seen_at": stored.first_seen_at,
        "last_seen_at": stored.last_seen_at,
        "gone_at": stored.gone_at,
    }
