"""Processes that serve, as the ledger knows them: seen, gone, forgotten, and what their secrets' marks show."""

from squire_pipelines.domain.server_processes import GONE_AFTER_S, REMEMBERED, ServerKind, ServerRole
from squire_pipelines.ledger import server_processes
from squire_pipelines.ledger.server_processes import ServerRecord, ServerState, mark_of_secret
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.machine_facts import read_machines
from tests.support.ledgers import Clock


def beat(ledger: Ledger, process_id: str, state: ServerState | None = None, *, home: str = "/home") -> None:
    record = ServerRecord(
        id=process_id, kind=ServerKind.RECEIVER, machine=process_id[0], home=home, pid=1, version="1.0"
    )
    with ledger.write() as tx:
        salt = server_processes.shared_salt(tx) or "5a17"
        server_processes.beat(tx, record, state or ServerState(), salt=salt)


def known(ledger: Ledger) -> dict[str, bool]:
    """The ids of the processes, and whether each is gone."""
    with ledger.read() as tx:
        return {one.id: one.is_gone for one in server_processes.read_all(tx)}


def test_a_process_is_gone_when_it_was_not_seen_and_its_homes_next_one_takes_its_place(
    ledger: Ledger, clock: Clock
) -> None:
    beat(ledger, "a1", ServerState(ServerRole.SERVING, "a problem", {"webhook-secret": "0a"}))
    beat(ledger, "b1")
    with ledger.read() as tx:
        first = server_processes.read_all(tx)[0]
    assert (first.problem, first.secret_marks, first.place) == ("a problem", {"webhook-secret": "0a"}, "a:/home")
    clock.forward(GONE_AFTER_S)
    beat(ledger, "b1")
    assert known(ledger) == {"a1": True, "b1": False}
    clock.forward(1)
    beat(ledger, "a2", home="/another")
    assert known(ledger) == {"a1": True, "b1": False, "a2": False}
    beat(ledger, "a3")
    assert known(ledger) == {"b1": False, "a2": False, "a3": False}


def test_one_that_ends_is_not_remembered_and_one_that_vanished_for_a_day(ledger: Ledger, clock: Clock) -> None:
    beat(ledger, "a1")
    beat(ledger, "b1")
    with ledger.write() as tx:
        server_processes.end(tx, "b1")
    assert known(ledger) == {"a1": False}
    clock.forward(REMEMBERED.total_seconds() + 1)
    beat(ledger, "c1")
    assert known(ledger) == {"c1": False}


def test_marks_tell_the_same_secret_under_the_name_of_the_present_and_the_old_one(ledger: Ledger) -> None:
    beat(ledger, "a1")
    with ledger.write() as tx:
        salt = server_processes.shared_salt(tx)
    assert salt is not None
    marks = [
        mark_of_secret(name, b"one", salt) for name in ("webhook-secret", "webhook-secret-old", "acme.webhook-secret")
    ]
    assert marks[0] == marks[1] != marks[2]
    assert mark_of_secret("webhook-secret", b"one", "another") != marks[0]
    assert len(marks[0]) == 8


def test_one_steward_is_shown_as_active_as_soon_as_another_has_taken_over(ledger: Ledger, clock: Clock) -> None:
    def steward(process_id: str, role: ServerRole) -> None:
        record = ServerRecord(
            id=process_id, kind=ServerKind.STEWARD, machine=process_id[0], home="/home", pid=1, version="1.0"
        )
        with ledger.write() as tx:
            server_processes.beat(tx, record, ServerState(role), salt="5a17")

    def shown() -> list[tuple[str, str]]:
        with ledger.read() as tx:
            return [(one.name[0], one.state) for one in read_machines(tx, lost_after_s=30)]

    steward("a1", ServerRole.ACTIVE)
    steward("b1", ServerRole.WAITING)
    assert shown() == [("a", "active"), ("b", "waiting")]
    clock.forward(20)
    steward("b1", ServerRole.ACTIVE)
    assert shown() == [("a", "gone"), ("b", "active")]
    steward("a2", ServerRole.WAITING)
    assert shown() == [("a", "waiting"), ("b", "active")]
