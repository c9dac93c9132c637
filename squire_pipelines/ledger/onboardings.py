"""The pull requests that ask repositories for their consent, and what became of each."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from squire_pipelines.domain.onboarding import OnboardingState
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import onboardings


@dataclass(frozen=True, slots=True)
class Onboarding:
    """A repository that was asked, by which pull request, and its state."""

    repository: str
    state: OnboardingState
    pr_number: int
    pr_url: str
    asked_at: datetime


def get(tx: Transaction, repository: str) -> Onboarding | None:
    """Return what is known of one repository; None where it was never asked."""
    return among(tx, [repository]).get(repository)


def among(tx: Transaction, names: Collection[str]) -> dict[str, Onboarding]:
    """Return those of these repositories that were asked, by name."""
    spelled = {name.casefold(): name for name in names}  # GitHub knows no case, and settings may spell it anew
    rows = tx.execute(select(onboardings).where(onboardings.c.repository.in_(spelled)))
    return {
        (name := spelled[row.repository]): Onboarding(
            name, OnboardingState(row.state), row.pr_number, row.pr_url, row.asked_at
        )
        for row in rows
    }


def record(
    tx: Transaction, repository: str, state: OnboardingState, *, number: int, url: str, actor: str, trace_id: str
) -> None:
    """Record the pull request that asks, or what became of it. It is audited when that is news."""
    tx.exclusive("onboardings")
    before = get(tx, repository)
    if before is not None and (before.state, before.pr_number) == (state, number):
        return
    values = {"state": state, "pr_number": number, "pr_url": url, "updated_at": tx.now}
    if before is None:
        tx.execute(insert(onboardings).values(repository=repository.casefold(), asked_at=tx.now, **values))
    else:
        asked_at = before.asked_at if before.pr_number == number else tx.now
        row = update(onboardings).where(onboardings.c.repository == repository.casefold())
        tx.execute(row.values(asked_at=asked_at, **values))
    record_audit(
        tx,
        actor=actor,
        action="repository.onboarding",
        subject=repository,
        trace_id=trace_id,
        detail={"state": state, "pull_request": number},
    )
