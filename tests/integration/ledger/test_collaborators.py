"""What GitHub said of people is kept for a time and up to a number of rows."""

from collections.abc import Callable

from sqlalchemy import func, select

from squire_pipelines.domain.authority import KnownPermission, RepositoryPermission
from squire_pipelines.ledger.collaborators import KeptPermissions
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import collaborators
from tests.support.ledgers import Clock

WRITE = KnownPermission(permission=RepositoryPermission.WRITE)
NONE = KnownPermission(permission=RepositoryPermission.NONE, note="GitHub knows no such collaborator")
Open = Callable[..., Ledger]


def store(ledger: Ledger, *, max_rows: int = 1000) -> KeptPermissions:
    return KeptPermissions(ledger, ttl_s=3600, max_rows=max_rows)


def test_an_answer_counts_for_its_time_in_its_repository(ledger: Ledger, clock: Clock) -> None:
    kept = store(ledger)
    kept.keep("Acme/Shop", {"ada": WRITE, "sly": NONE})
    assert kept.known("acme/shop", ["ada", "sly", "eve"]) == {"ada": WRITE, "sly": NONE}
    assert kept.known("acme/other", ["ada"]) == {}
    clock.forward(3599)
    assert kept.known("acme/shop", ["ada"]) == {"ada": WRITE}
    clock.forward(1)
    assert kept.known("acme/shop", ["ada"]) == {}


def test_a_later_answer_takes_the_place_of_an_earlier_one(ledger: Ledger) -> None:
    kept = store(ledger)
    kept.keep("acme/shop", {"ada": WRITE})
    kept.keep("acme/shop", {"ada": NONE})
    assert kept.known("acme/shop", ["ada"]) == {"ada": NONE}


def test_rows_are_bounded_and_old_ones_go(ledger: Ledger, clock: Clock) -> None:
    kept = store(ledger, max_rows=5)
    for number in range(12):
        clock.forward(1)
        kept.keep("acme/shop", {f"u{number}": WRITE})
    names = [f"u{number}" for number in range(12)]
    assert set(kept.known("acme/shop", names)) == {"u7", "u8", "u9", "u10", "u11"}
    clock.forward(3600)
    kept.keep("acme/shop", {"ada": WRITE})
    with ledger.read() as tx:
        assert tx.execute(select(func.count()).select_from(collaborators)).scalar_one() == 1


def test_many_people_are_looked_up_at_once(ledger: Ledger) -> None:
    kept = store(ledger)
    people = {f"u{number}": WRITE for number in range(250)}
    kept.keep("acme/shop", people)
    assert kept.known("acme/shop", list(people)) == people
