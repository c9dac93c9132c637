"""Runs a failed check that the code need not have failed again, once, before an agent is paid for it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from squire_pipelines.domain import reruns as rules
from squire_pipelines.domain.reruns import Rerun, RerunState
from squire_pipelines.domain.signals import Collection, Source
from squire_pipelines.github.evidence import reruns as requests
from squire_pipelines.ledger import reruns as rows
from squire_pipelines.sections.signals import CiSettings
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    from squire_pipelines.github.client import GitHubClient
    from squire_pipelines.ledger.store import Ledger


def awaited(ledger: "Ledger", settings: Settings, names: Sequence[str]) -> tuple[str, ...]:
    """Return the repositories that are read because a second run is waited for.

    Where the settings no longer have failed checks read, nothing could tell how it ended: it is given up.
    """
    with ledger.read() as tx:
        waiting = rows.waiting(tx, names)
    unread = [name for name in waiting if not settings.filters_for(name).reads(Source.FAILED_CI)]
    if unread:
        with ledger.write() as tx:
            rows.give_up(tx, unread, "the settings no longer have failed checks read here")
    return tuple(name for name in waiting if name not in unread)


async def decide_reruns(
    client: "GitHubClient", ledger: "Ledger", reading: Collection, settings: CiSettings, *, trace_id: str
) -> Collection:
    """Return a reading of failed checks with what is known of their second runs, after requesting those that are due.

    Other readings, and one of a source that did not answer, are returned as they are. Where the settings want no second
    runs, those that were waited for are given up.
    """
    if reading.source is not Source.FAILED_CI or not reading.status.source_answered:
        return reading
    if not settings.rerun:
        with ledger.write() as tx:
            rows.give_up(tx, [reading.repository], "the settings want no second runs (`ci.rerun`)")
        return reading
    checks = rules.failed_checks(reading.signals)
    with ledger.read() as tx:
        known = rows.known(tx, reading.repository, {check.head_sha for check in checks})
        now = tx.now
    changed: list[Rerun] = []
    failing = {(check.head_sha, check.workflow_run) for check in checks}
    ends_at = asyncio.get_running_loop().time() + settings.evidence_timeout_s
    due = requests.due(tuple(known.values()))
    # While its checks fail in the old run, the new one has not begun for us to see.
    passed = await requests.have_passed(client, [rerun for rerun in due if rerun.subject not in failing], ends_at)
    for rerun in due:
        settled = rules.settle(rerun, checks, passed=passed.get(rerun.subject), now=now)
        if settled.state is not RerunState.WAITING:
            changed.append(settled)
    for rerun in _due(reading, known, settings, now).values():
        if asyncio.get_running_loop().time() >= ends_at:
            break  # the rest is for the next reading
        with ledger.write() as tx:
            claimed = rows.claim(tx, rerun, trace_id=trace_id)
        changed.append(await requests.request(client, rerun, ends_at) if claimed else rerun)
    if changed:
        with ledger.write() as tx:
            for rerun in changed:
                rows.record(tx, rerun)
    known |= {rerun.subject: rerun for rerun in changed}
    return reading.model_copy(update={"signals": rules.with_reruns(reading.signals, known)})


def foresee_reruns(ledger: "Ledger", reading: Collection, settings: CiSettings) -> Collection:
    """Return a reading of failed checks as `decide_reruns` would leave it, requesting and recording nothing."""
    if reading.source is not Source.FAILED_CI or not reading.status.source_answered or not settings.rerun:
        return reading
    checks = rules.failed_checks(reading.signals)
    with ledger.read() as tx:
        known = rows.known(tx, reading.repository, {check.head_sha for check in checks})
        now = tx.now
    return reading.model_copy(
        update={"signals": rules.with_reruns(reading.signals, known | _due(reading, known, settings, now))}
    )


def _due(
    reading: Collection, known: Mapping[tuple[str, int], Rerun], settings: CiSettings, now: datetime
) -> dict[tuple[str, int], Rerun]:
    """Return the second runs that are to be requested for a reading."""
    until = now + timedelta(seconds=settings.rerun_wait_s)
    due = rules.to_request(reading.repository, rules.that_may_start(reading.signals), known, now=now, until=until)
    return {rerun.subject: rerun for rerun in due[: requests.MAX_PER_READING]}
