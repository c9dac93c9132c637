"""What one delivery does in the ledger, each effect once and recorded with it. Asks nobody, and is repeatable.

The order of deliveries, their tries and their marks are `applying`'s; what GitHub has to be asked for, `Touched` names.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from squire_pipelines.domain.deliveries import Effect
from squire_pipelines.domain.outcomes import ChecksState
from squire_pipelines.domain.reverts import commits_reverted_in
from squire_pipelines.github.events import ParsedDelivery, PushReport
from squire_pipelines.ledger import (
    collaborators,
    dashboards,
    delivery_effects,
    ended_pulls,
    outcomes,
    pull_reverts,
    repository_changes,
)
from squire_pipelines.ledger.deliveries import PendingDelivery
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.own_pulls import is_own_report
from squire_pipelines.ledger.store import Transaction

APP = "the GitHub App"
"""The subject of what is about no repository."""

_SHORT_SHA = 12


@dataclass(slots=True)
class Touched:
    """What deliveries were about, of which GitHub is to be asked.

    Args:
        reported: The tasks of pull requests, each with the deliveries about it: people may have approved them.
        checked: The open pull requests whose checks have changed.
        moved: Those whose base has.
    """

    reported: dict[str, list[PendingDelivery]] = field(default_factory=dict)
    checked: list[Outcome] = field(default_factory=list)
    moved: list[Outcome] = field(default_factory=list)

    def add(self, other: "Touched") -> None:
        """Add what another delivery was about."""
        for task_id, deliveries in other.reported.items():
            self.reported.setdefault(task_id, []).extend(deliveries)
        self.checked += other.checked
        self.moved += other.moved


@dataclass(frozen=True, slots=True)
class _Work:
    """One delivery in the transaction that applies it."""

    tx: Transaction
    parsed: ParsedDelivery
    delivery: PendingDelivery
    names: Collection[str]
    touched: Touched

    @property
    def actor(self) -> str:
        return f"delivery:{self.delivery.id}"

    def is_new(self, effect: Effect, subject: str) -> bool:
        """Return whether it has not done this yet: it may be read again, after a replay or for what GitHub is asked."""
        return not delivery_effects.has_effect(self.tx, self.delivery.id, effect, subject)

    def record(self, effect: Effect, subject: str, detail: str | None = None) -> None:
        delivery_effects.record_effect(
            self.tx, self.delivery.id, effect, subject, trace_id=self.delivery.trace_id, detail=detail
        )


def apply_delivery(
    tx: Transaction, parsed: ParsedDelivery, delivery: PendingDelivery, *, names: Collection[str]
) -> Touched:
    """Do what a delivery says; return what GitHub is to be asked for it.

    Args:
        tx: A transaction that writes, in which no other applies a delivery.
        parsed: What it says.
        delivery: Its row.
        names: The repositories of the settings.
    """
    work = _Work(tx, parsed, delivery, names, Touched())
    for step in _STEPS:
        step(work)
    return work.touched


def _ping(work: _Work) -> None:
    if work.parsed.event == "ping":
        work.record(Effect.PING, work.parsed.repository or APP)


def _installation(work: _Work) -> None:
    change = work.parsed.installation
    if change is None or not work.is_new(Effect.INSTALLATION, change.account):
        return
    lost, shown = repository_changes.record_installation(work.tx, change, work.names, trace_id=work.delivery.trace_id)
    parts = [f"{label} {', '.join(names)}" for label, names in (("lost", lost), ("read", shown)) if names]
    work.record(Effect.INSTALLATION, change.account, ": ".join([change.action, *(["; ".join(parts)] if parts else [])]))


def _repository(work: _Work) -> None:
    change, name = work.parsed.change, work.parsed.repository
    if change is None or name is None or not work.is_new(Effect.REPOSITORY, name):
        return
    detail = repository_changes.record_change(work.tx, name, change)
    if detail is not None:
        work.record(Effect.REPOSITORY, name, f"{change.action}: {detail}")


def _people(work: _Work) -> None:
    """Have it asked anew what people may do, where that may have changed."""
    parsed = work.parsed
    subject = parsed.repository or parsed.organization
    if not parsed.changes_people or subject is None or not work.is_new(Effect.ACCESS, subject):
        return
    if parsed.repository is not None:
        forgotten = collaborators.forget(work.tx, [parsed.repository])
    else:
        owned = [name for name in work.names if name.partition("/")[0].casefold() == subject.casefold()]
        forgotten = collaborators.forget(work.tx, owned)
    work.record(Effect.ACCESS, subject, f"what {forgotten} people may do is asked anew")


def _dashboard(work: _Work) -> None:
    name = work.parsed.repository
    if not work.parsed.dashboard or name is None or not work.is_new(Effect.DASHBOARD, name):
        return
    if dashboards.get(work.tx, name) is not None:
        dashboards.wake(work.tx, name)
        work.record(Effect.DASHBOARD, name, "it is looked at")


def _report(work: _Work) -> None:
    report = work.parsed.report
    if report is None or not is_own_report(work.tx, report):
        return
    subject = f"{report.repository}#{report.number}"
    task_id = outcomes.task_of_number(work.tx, report.repository, report.number)
    if task_id is None:
        return
    work.touched.reported.setdefault(task_id, []).append(work.delivery.without_body())
    if not work.is_new(Effect.OUTCOME, subject):
        return
    before = outcomes.get(work.tx, task_id)
    outcomes.apply_report(work.tx, report, actor=work.actor)
    detail = _changes(before, outcomes.get(work.tx, task_id))
    if detail:
        work.record(Effect.OUTCOME, subject, detail)


def _changes(before: Outcome | None, after: Outcome | None) -> str:
    """Return in words what a report changed; empty where nothing but its time."""
    if before is None or after is None:
        return ""
    words = []
    if before.state != after.state:
        words.append(f"{before.state} → {after.state}")
    if before.review_state != after.review_state:
        words.append(f"review {before.review_state} → {after.review_state}")
    if before.head_sha != after.head_sha:
        words.append(f"head {after.head_sha[:_SHORT_SHA]}")
    return ", ".join(words)


def _reverts(work: _Work) -> None:
    report, reverts = work.parsed.report, work.parsed.reverts
    if report is None or reverts is None:
        return
    subject = f"{report.repository}#{report.number}"
    if not work.is_new(Effect.REVERT, subject):
        return
    changed = pull_reverts.record_revert_pull(
        work.tx,
        report.repository,
        reverts.numbers,
        base_branch=reverts.base_branch,
        at=report.updated_at,
        by=report.number,
        actor=work.actor,
    )
    if changed:
        work.record(Effect.REVERT, subject, f"takes back {', '.join(f'#{number}' for number in reverts.numbers)}")


def _push(work: _Work) -> None:
    push = work.parsed.push
    if push is None:
        return
    # They may be behind now, or conflict.
    moved = outcomes.of_base(work.tx, push.repository, push.branch)
    work.touched.moved += moved
    # Whether it takes all of a merge back, git knows, which is asked in the next look.
    may_revert = takes_back(push) and ended_pulls.has_merged_into(work.tx, push.repository, push.branch)
    subject = f"{push.repository}:{push.branch}"
    if not (moved or may_revert) or not work.is_new(Effect.BASE_MOVED, subject):
        return
    if may_revert:
        ended_pulls.wake_reverts(work.tx, push.repository, push.branch)
    pulls = ", ".join(f"#{outcome.pr_number}" for outcome in moved)
    words = [f"the base of {pulls}"] if pulls else []
    work.record(Effect.BASE_MOVED, subject, "; ".join(words + ["it may take a merge back"] * may_revert))


def takes_back(push: PushReport) -> bool:
    """Return whether a commit of a push says that it reverts another."""
    return any(commits_reverted_in(message) for _, message in push.messages)


def _checks(work: _Work) -> None:
    checks = work.parsed.checks
    if checks is None:
        return
    # A check that passed says nothing of the others: GitHub is asked about the commit as a whole.
    headed = outcomes.of_head(work.tx, checks.repository, checks.head_sha)
    work.touched.checked += headed
    new = [
        subject
        for subject in (f"{outcome.repository}#{outcome.pr_number}" for outcome in headed)
        if work.is_new(Effect.CHECKS, subject)
    ]
    if new and checks.state is ChecksState.FAILED:
        at = work.delivery.received_at
        outcomes.record_failed_checks(work.tx, checks.repository, checks.head_sha, at=at, actor=work.actor)
    for subject in new:
        words = "a check failed" if checks.state is ChecksState.FAILED else "a check passed: GitHub is asked of all"
        work.record(Effect.CHECKS, subject, words)


_STEPS: tuple[Callable[[_Work], None], ...] = (
    _ping,
    _installation,
    _repository,
    _people,
    _dashboard,
    _report,
    _reverts,
    _push,
    _checks,
)


def is_about_ours(tx: Transaction, parsed: ParsedDelivery) -> bool:
    """Return whether a delivery may have an effect here, so that it is worth a look at once. Changes nothing."""
    if parsed.dashboard or parsed.of_account or parsed.change is not None or parsed.changes_people:
        return True
    if parsed.checks is not None and outcomes.of_head(tx, parsed.checks.repository, parsed.checks.head_sha):
        return True
    if parsed.push is not None:
        place = parsed.push.repository, parsed.push.branch
        return bool(outcomes.of_base(tx, *place)) or (
            takes_back(parsed.push) and ended_pulls.has_merged_into(tx, *place)
        )
    if parsed.report is None:
        return False
    reverted = parsed.reverts.numbers if parsed.reverts else ()
    return outcomes.is_ours(tx, parsed.report.repository, {parsed.report.number, *reverted}) or bool(
        reverted and pull_reverts.has_reverted(tx, parsed.report.repository, reverted)
    )
