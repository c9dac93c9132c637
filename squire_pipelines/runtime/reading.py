"""Readings for `squire signals collect`: ask for one in the inbox, see that somebody reads, wait, report."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.looks import KnownRepository
from squire_pipelines.errors import ExitCode, NotReachableError
from squire_pipelines.github.tenant_access import access_to_all
from squire_pipelines.ledger import collections, deliveries, repositories
from squire_pipelines.ledger.collections import RecordedCollection
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.exit_codes import code_over_repositories
from squire_pipelines.runtime.home_lock import AlreadyRunningError
from squire_pipelines.runtime.processes import interruptible
from squire_pipelines.runtime.services import Services
from squire_pipelines.sections.signals import CollectionSettings
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.output import write_json

_POLL_S = 1.0
_DAY_S = 86_400.0
_READER = "reader"
READ_INBOX = [sys.executable, "-m", "squire_pipelines.read_inbox"]

Say = Callable[[str], None]


def read(
    settings: Settings, ledger: Ledger, names: Sequence[str], *, say: Say, timeout_s: float, as_json: bool, fresh: bool
) -> ExitCode:
    """Read the repositories once; FAILED when no repository was read whole, or the time was up, PARTLY when some were.

    A daemon of Dagster's that serves this home reads them. Where none does, a child of ours executes the one job that
    reads, so that nothing is planned and no agent is started. `fresh` reads everything, whatever a look shows.

    Raises:
        SecretMissingError: There is no token for GitHub.
        NotReachableError: The child ended before it had read what was asked for.
    """
    access_to_all(settings, required=True)
    progress = ReadingProgress(ledger, names, say=(lambda _line: None) if as_json else say)
    with interruptible() as check_interrupt, ExitStack() as stack:
        with ledger.write() as tx:
            requests = deliveries.request_collection(
                tx, names, source=DeliverySource.COMMAND, trace_id=new_trace_id(), fresh=fresh
            )
        services: Services | None = None
        deadline = time.monotonic() + timeout_s
        while (is_open := _is_open(ledger, requests)) and time.monotonic() < deadline:
            if services is None:
                services = _start_reader(settings, stack)
            elif not services.children[_READER].alive and _is_open(ledger, requests):
                last_lines = "\n".join(services.log_of(_READER))
                raise NotReachableError(
                    f"the reading ended before all was read; its last lines:\n{last_lines}",
                    hint=f"see {services.children[_READER].log}",
                )
            time.sleep(_POLL_S)
            check_interrupt()
            progress.look()
        progress.look(last=not is_open)
    readings = progress.readings
    if as_json:
        document = {
            "read": not is_open,
            "readings": [asdict(reading) for reading in readings],
            "repositories": [_state(known) for known in progress.repositories.values()],
        }
        write_json(document, default=str)
    elif is_open:
        say("the time was up; what was asked for stays in the inbox")
    silent = {reading.repository for reading in readings if not reading.status.source_answered}
    return code_over_repositories(names, silent, failed=is_open)


def _state(known: KnownRepository) -> dict[str, str | None]:
    return {
        "repository": known.repository,
        "state": known.state.value,
        "name": known.name,
        "message": known.message,
    }


def _is_open(ledger: Ledger, requests: Sequence[int]) -> bool:
    with ledger.read() as tx:
        return bool(deliveries.still_open(tx, requests))


def _start_reader(settings: Settings, stack: ExitStack) -> Services | None:
    """Start the child that reads; None while another Squire serves this home, which then reads."""
    try:
        services = stack.enter_context(Services(settings, say=lambda _line: None))
    except AlreadyRunningError:
        return None
    services.start(_READER, READ_INBOX)
    return services


class ReadingProgress:
    """Says each repository once all of its sources have been read since it was made."""

    def __init__(self, ledger: Ledger, names: Sequence[str], *, say: Say) -> None:
        self._ledger = ledger
        self._names = tuple(names)
        self._say = say
        self._before = {(reading.id, reading.ended_at) for reading in self._latest()}
        self._last_seen: dict[str, list[RecordedCollection]] = {}
        self._shown: defaultdict[str, set[int]] = defaultdict(set)
        self.readings: tuple[RecordedCollection, ...] = ()
        self.repositories: dict[str, KnownRepository] = {}

    def _latest(self) -> tuple[RecordedCollection, ...]:
        with self._ledger.read() as tx:
            return collections.latest(tx, self._names)

    def look(self, *, last: bool = False) -> None:
        """Read the newest readings, and say those of repositories whose readings are the same as at the look before.

        The sources of a repository are recorded one after another: each is said once. `last`: all has been read, so all
        is said that was not said yet.
        """
        # A look that finds nothing new moves the time of the newest row on.
        made = [reading for reading in self._latest() if (reading.id, reading.ended_at) not in self._before]
        with self._ledger.read() as tx:
            self.repositories = {known.repository: known for known in repositories.not_as_named(tx, self._names)}
        self.readings = tuple(sorted(made, key=lambda reading: (reading.repository, reading.id)))
        seen = {name: list(group) for name, group in groupby(self.readings, key=lambda reading: reading.repository)}
        for repository, readings in seen.items():
            shown = self._shown[repository]
            unsaid = [reading for reading in readings if reading.id not in shown]
            if unsaid and (last or self._last_seen.get(repository) == readings):
                known = None if shown else self.repositories.get(repository)
                shown.update(reading.id for reading in unsaid)
                for line in describe(repository, unsaid, known):
                    self._say(line)
        self._last_seen = seen


def describe(
    repository: str, readings: Sequence[RecordedCollection], known: KnownRepository | None = None
) -> list[str]:
    """Return lines for one repository: how many signals each source has, then why sources did not answer.

    `known` is what a look found under its name, when that is not what the name says.
    """
    counts: list[str] = []
    errors: dict[str | None, list[str]] = defaultdict(list)
    for reading in readings:
        changed = f", {reading.changed} changed" if reading.changed else ""
        if reading.status.source_answered:
            counts.append(f"{reading.source} {reading.signals}{changed}")
        else:
            errors[reading.error].append(f"{reading.source} ({reading.status})")
    if not counts and len(errors) == 1:
        return [f"{repository}: not read: {next(iter(errors))}"]
    silent = [f"{repository}: did not answer: {', '.join(sources)}: {error}" for error, sources in errors.items()]
    note = [known.message] if known is not None and known.message else []
    return [f"{repository}: {'; '.join(counts) or 'nothing was read'}", *silent, *note]


def seconds_to_next(settings: CollectionSettings, now: datetime) -> float:
    """Return how long `--watch` waits: until the schedule of the settings would read the next time."""
    upcoming = settings.next_reading(now)
    return max(1.0, (upcoming - now).total_seconds()) if upcoming is not None else _DAY_S


def watch(settings: CollectionSettings, read_once: Callable[[], ExitCode], *, say: Say) -> ExitCode:
    """Read again and again at the times of the settings, until the person interrupts. Returns the last code."""
    code = ExitCode.DONE
    try:
        while True:
            code = read_once()
            wait_s = seconds_to_next(settings, datetime.now(UTC))
            say(f"next reading in {wait_s:.0f} s; Ctrl-C ends")
            deadline = time.monotonic() + wait_s
            with interruptible() as check_interrupt:
                while (left := deadline - time.monotonic()) > 0:
                    time.sleep(min(_POLL_S, left))
                    check_interrupt()
    except KeyboardInterrupt:
        return code
