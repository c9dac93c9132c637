"""Turns what other senders delivered into signals: read in a child, recorded with the deliveries that told it, once."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.signals import Collection, CollectionStatus, is_from
from squire_pipelines.ledger import collections, hook_deliveries
from squire_pipelines.ledger.delivery_failures import Reader, set_aside
from squire_pipelines.ledger.hook_deliveries import HookDelivery
from squire_pipelines.ledger.repository_readings import RecordedReading, RepositoryReading, record_readings
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.settings.model import Settings
from squire_pipelines.sources.hook_protocol import HookFact
from squire_pipelines.sources.hook_readers import HookBody, HookReading, HookSender, read_bodies
from squire_pipelines.sources.hook_signals import HOOKS, ArrivedFact, HookRules, signal_key, update_signals

_UNUSABLE = "what is stored of its body cannot be used"


@dataclass(frozen=True, slots=True)
class HookRecorder:
    """Records what other senders delivered.

    Args:
        settings: In force.
        ledger: Where it is recorded.
        rules: Of trust, in a repository.
        run_id: Of the run that reads.
        report: Called with each reading that says something new, and its trace.
        reports_all: Whether it is called with the others too.
    """

    settings: Settings
    ledger: Ledger
    rules: Callable[[str], TrustRules]
    run_id: str | None
    report: Callable[[RecordedReading, str], None]
    reports_all: bool = False

    def read(self, ids: Sequence[int], names: Sequence[str], trace_of: Callable[[str], str]) -> frozenset[int]:
        """Read deliveries, and end the facts that are too old. Returns the deliveries that are to be read again.

        Args:
            ids: The deliveries' rows; those of GitHub and of commands are passed over.
            names: The repositories of the collection.
            trace_of: Gives the trace by which a repository is read.
        """
        left_open: set[int] = set()
        touched: set[str] = set()
        after = 0
        while pending := self._pending(ids, after):
            after = pending[-1].id
            readings = list(self._readings(pending))
            left_open |= {delivery.id for delivery in pending} - {reading.delivery for reading in readings}
            touched |= self._record(pending, sorted(readings, key=lambda one: one.delivery))
        with self.ledger.read() as tx:
            left = collections.repositories_with(tx, HOOKS) & set(names) - touched
        for name in sorted(left):
            with self.ledger.write() as tx:
                recorded = self._update(tx, name, (), trace_of(name))
            self._report(recorded, trace_of(name))
        return frozenset(left_open)

    def _pending(self, ids: Sequence[int], after: int) -> tuple[HookDelivery, ...]:
        with self.ledger.read() as tx:
            return hook_deliveries.pending(tx, ids, tuple(self.settings.hooks), after=after)

    def _readings(self, pending: Sequence[HookDelivery]) -> Iterator[HookReading]:
        of_hook: dict[str, list[HookDelivery]] = defaultdict(list)
        for delivery in pending:
            of_hook[delivery.hook].append(delivery)
        for hook, several in of_hook.items():
            section = self.settings.hooks.get(hook)
            if section is None or not section.enabled:
                reason = f"[hooks.{hook}] is switched off, or gone"
                yield from (HookReading(delivery.id, error=reason) for delivery in several)
                continue
            sender = HookSender(
                hook=hook,
                reader=section.reader_of(hook),
                repositories=section.repositories or self.settings.repositories,
                projects=section.projects,
                options=section.options,
            )
            yield from (HookReading(one.id, error=_UNUSABLE) for one in several if one.body is None)
            bodies = [HookBody(one.id, one.event, one.received_at, one.body) for one in several if one.body is not None]
            yield from read_bodies(sender, bodies, timeout_s=section.timeout_s)

    def _record(self, pending: Sequence[HookDelivery], readings: Sequence[HookReading]) -> set[str]:
        """Record in one transaction what these deliveries tell, and that they were read; return the repositories."""
        delivery_of = {delivery.id: delivery for delivery in pending}
        by_repository = _FactsByRepository()
        for reading in readings:
            for fact in reading.facts:
                by_repository.add(delivery_of[reading.delivery], fact)
        reports: list[tuple[tuple[RecordedReading, ...], str]] = []
        with self.ledger.write() as tx:
            for repository, items in by_repository.facts.items():
                trace_id = by_repository.traces[repository]
                tx.exclusive(f"signals of {repository}")
                new = [item for delivery, item in items if _is_new(tx, delivery, item, trace_id)]
                if new:
                    reports.append((self._update(tx, repository, new, trace_id), trace_id))
            for reading in readings:
                _mark(tx, delivery_of[reading.delivery], reading, by_repository)
        for recorded, trace_id in reports:
            self._report(recorded, trace_id)
        return set(by_repository.facts)

    def _update(
        self, tx: Transaction, repository: str, arrived: Sequence[ArrivedFact], trace_id: str
    ) -> tuple[RecordedReading, ...]:
        # In the transaction that writes: a reading beside this one may have recorded other facts meanwhile.
        tx.exclusive(f"signals of {repository}")
        known = [signal for signal in collections.active_signals(tx, repository) if is_from(signal, HOOKS)]
        reading = Collection(
            repository=repository,
            source=HOOKS,
            status=CollectionStatus.FRESH,
            started_at=tx.now,
            ended_at=tx.now,
            signals=update_signals(repository, known, arrived, hook_rules(self.settings, repository), now=tx.now),
            requests=0,
        )
        batch = [RepositoryReading(repository, (reading,))]
        return record_readings(tx, batch, rules=self.rules, trace_id=trace_id, run_id=self.run_id)[repository]

    def _report(self, recorded: Sequence[RecordedReading], trace_id: str) -> None:
        for entry in recorded:
            if entry.row.is_news or self.reports_all:
                self.report(entry, trace_id)


@dataclass(slots=True)
class _FactsByRepository:
    """The facts by the repositories that they are about, each with the trace of the first delivery about it."""

    facts: dict[str, list[tuple[int, ArrivedFact]]] = field(default_factory=lambda: defaultdict(list))
    traces: dict[str, str] = field(default_factory=dict)

    def add(self, delivery: HookDelivery, fact: HookFact) -> None:
        self.traces.setdefault(fact.repository, delivery.trace_id)
        self.facts[fact.repository].append((delivery.id, ArrivedFact(delivery.hook, fact, delivery.received_at)))


def hook_rules(settings: Settings, repository: str) -> dict[str, HookRules]:
    """Return the rules of the senders that are read in a repository."""
    filters = settings.filters_for(repository)
    return {
        name: HookRules(
            may_start=hook.may_start,
            max_age=hook.max_age,
            max_facts=hook.max_facts,
            repositories=frozenset(hook.repositories or settings.repositories),
        )
        for name, hook in settings.hooks.items()
        if hook.enabled and filters.reads(name)
    }


def _is_new(tx: Transaction, delivery: int, item: ArrivedFact, trace_id: str) -> bool:
    subject = f"{item.fact.repository} {signal_key(item.hook, item.fact)}"
    return hook_deliveries.record_told(tx, delivery, subject, trace_id=trace_id, detail=item.fact.state)


def _mark(tx: Transaction, delivery: HookDelivery, reading: HookReading, by_repository: _FactsByRepository) -> None:
    if reading.error is not None:
        set_aside(tx, delivery.id, reading.error, reader=Reader.COLLECTION)
        return
    names = list(dict.fromkeys(fact.repository for fact in reading.facts))
    trace_id = by_repository.traces[names[0]] if names else delivery.trace_id
    hook_deliveries.mark_read(tx, delivery.id, repository=names[0] if len(names) == 1 else None, trace_id=trace_id)
