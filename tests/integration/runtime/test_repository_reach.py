"""Which repositories `squire dev` names as out of reach, once, and which ones go on."""

from squire_pipelines.domain.looks import KnownRepository, RepositoryState
from squire_pipelines.domain.signals import CollectionStatus, Source
from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger import collections, repositories
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.repository_reach import LOOK_EVERY_S, RepositoryReach
from tests.support.ledgers import TRACE, reading

NAMES = ("acme/api", "acme/gone", "acme/web")


def record(ledger: Ledger, name: str, *, error: str | None = None, source: Source = Source.OPEN_ISSUES) -> None:
    status = CollectionStatus.FAILED if error else CollectionStatus.FRESH
    with ledger.write() as tx:
        made = reading(status=status, repository=name, source=source).model_copy(update={"error": error})
        collections.record(tx, made, trace_id=TRACE, run_id=None)


def test_a_repository_out_of_reach_is_named_once_with_its_reason_and_again_when_it_is_read(ledger: Ledger) -> None:
    lines: list[str] = []
    now = 0.0
    reach = RepositoryReach(ledger, say=lines.append, monotonic=lambda: now)
    reach.look(NAMES)
    assert lines == []
    record(ledger, "acme/api", error="GitHub does not answer")
    record(ledger, "acme/web")
    record(ledger, "acme/web", error="it takes too long", source=Source.OPEN_PRS)
    gone = KnownRepository("acme/gone", state=RepositoryState.MISSING, message="there is no repository acme/gone")
    with ledger.write() as tx:
        repositories.record(tx, [gone])
    reach.look(NAMES)
    assert lines == []  # it was looked at a moment ago
    for _ in range(2):
        now += LOOK_EVERY_S
        reach.look(NAMES)
    assert lines == [
        "acme/api: out of reach, and the other repositories go on: GitHub does not answer",
        "acme/gone: out of reach, and the other repositories go on: there is no repository acme/gone",
    ]
    record(ledger, "acme/api")
    now += LOOK_EVERY_S
    reach.look(NAMES[:1])
    assert sorted(lines[2:]) == [
        "acme/api: is read again",
        "acme/gone: is not among the repositories any more",
    ]


class BrokenLedger:
    """A ledger whose file is gone."""

    def read(self) -> None:
        raise LedgerError("the ledger cannot be read")


def test_a_ledger_that_cannot_be_read_ends_nothing_and_is_said_once() -> None:
    lines: list[str] = []
    now = 0.0
    reach = RepositoryReach(BrokenLedger(), say=lines.append, monotonic=lambda: now)  # type: ignore[arg-type]
    for _ in range(2):
        reach.look(NAMES)
        now += LOOK_EVERY_S
    assert lines == ["which repositories are out of reach is not known: the ledger cannot be read"]
