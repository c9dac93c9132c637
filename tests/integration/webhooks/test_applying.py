"""What deliveries do in the ledger: each effect once, in order, and none held up by one that cannot be applied."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import Row, select, text

from squire_pipelines.domain.dashboards import DASHBOARD_MARK
from squire_pipelines.domain.looks import KnownRepository, RepositoryState
from squire_pipelines.domain.outcomes import PullRequestState, ReviewState
from squire_pipelines.ledger import dashboards, deliveries, outcomes, repositories, tables
from squire_pipelines.ledger.delivery_effects import effects_of
from squire_pipelines.ledger.delivery_failures import set_aside
from squire_pipelines.ledger.delivery_repetitions import first_of_repeated
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings
from squire_pipelines.webhooks.applying import Applied, InboxPlace, apply_waiting, reason_to_look
from tests.support.deliveries import record_delivery
from tests.support.ledgers import Clock, start_attempt

SHOP, OTHER = "acme/shop", "acme/web"
OUR_HEAD = "a" * 40


class _Warnings(list[str]):
    """What was said of deliveries that could not be applied."""

    def warning(self, msg: str, *args: object) -> None:
        self.append(msg % args)

    def exception(self, msg: str, *args: object) -> None:
        self.append(msg % args)


class Inbox:
    """A ledger with pull requests of ours, and the deliveries about them."""

    def __init__(self, ledger: Ledger, clock: Clock, settings: Settings) -> None:
        self.ledger, self.clock, self.settings = ledger, clock, settings
        self.warnings = _Warnings()
        self._number = 0

    def opened(self, number: int = 7, *, review: ReviewState = ReviewState.NONE) -> str:
        """Return a task with an open pull request."""
        task_id = start_attempt(self.ledger, repository=SHOP).task_id
        with self.ledger.write() as tx:
            outcomes.record_opened(
                tx,
                task_id=task_id,
                repository=SHOP,
                pr_number=number,
                pr_url=f"https://github.test/{SHOP}/pull/{number}",
                head_sha=OUR_HEAD,
                review=review,
            )
        return task_id

    def deliver(self, event: str, *, repository: str | None = SHOP, github_id: int = 1, **fields: Any) -> int:
        """Store a delivery, as the receiver does."""
        envelope = {"repository": {"id": github_id, "full_name": repository}} if repository else {}
        self._number += 1
        return record_delivery(
            self.ledger,
            source="github",
            delivery_id=f"d-{self._number}",
            event=event,
            action=fields.get("action"),
            repository=repository,
            body=json.dumps({"sender": {"login": "mara"}, **envelope, **fields}).encode(),
        ).id

    def pull(self, action: str, *, number: int = 7, **fields: Any) -> int:
        """Store a delivery about a pull request, as it is a minute after the one before."""
        self.clock.forward(60)
        at = self.clock.now.isoformat()
        pull = {
            "number": number,
            "html_url": f"https://github.test/{SHOP}/pull/{number}",
            "state": "closed" if action == "closed" else "open",
            "updated_at": at,
            "closed_at": at if action == "closed" else None,
            "head": {"ref": "squire/x", "sha": OUR_HEAD},
            "base": {"ref": "main"},
            **fields,
        }
        return self.deliver("pull_request", action=action, pull_request=pull)

    def merged(self, *, number: int = 7, **fields: Any) -> int:
        """Store the delivery of a merge."""
        return self.pull("closed", number=number, merged_at=self.clock.now.isoformat(), **fields)

    def check(self, conclusion: str, *, head: str = OUR_HEAD) -> int:
        """Store a delivery of a check."""
        check = {"head_sha": head, "conclusion": conclusion, "pull_requests": []}
        return self.deliver("check_run", action="completed", check_run=check)

    def apply(self, *, asks: bool = True, place: InboxPlace | None = None) -> Applied:
        """Apply what waits."""
        return apply_waiting(self.ledger, self.settings, self.warnings, asks=asks, place=place)

    def effects(self, *rows: int) -> list[tuple[str, str, str | None]]:
        """Return what deliveries did: the effect, on what, and the detail."""
        with self.ledger.read() as tx:
            return [(one.effect, one.subject, one.detail) for one in effects_of(tx, rows)]

    def row(self, delivery: int) -> Row[Any]:
        """Return a delivery's row."""
        with self.ledger.read() as tx:
            return tx.execute(select(tables.deliveries).where(tables.deliveries.c.id == delivery)).one()

    def state(self, task_id: str) -> PullRequestState:
        """Return how a task's pull request stands."""
        with self.ledger.read() as tx:
            outcome = outcomes.get(tx, task_id)
        assert outcome is not None
        return outcome.state

    def known(self, repository: str) -> KnownRepository:
        """Return what is known of a repository."""
        with self.ledger.read() as tx:
            return repositories.known(tx, [repository])[repository]

    def refuse_changes_of(self, number: int) -> None:
        """Have the database refuse each change of a pull request, as it does with what it cannot hold."""
        refusal = f"WHEN NEW.pr_number = {number} BEGIN SELECT RAISE(ABORT, 'it cannot be held'); END"
        with self.ledger.write() as tx:
            tx.execute(text(f"CREATE TRIGGER poison BEFORE UPDATE ON outcomes {refusal}"))

    def accept_all_changes(self) -> None:
        """Have it refuse none any more."""
        with self.ledger.write() as tx:
            tx.execute(text("DROP TRIGGER poison"))


@pytest.fixture
def inbox(ledger_path: Path, open_at: Callable[..., Ledger], clock: Clock) -> Inbox:
    ledger = open_at(f"sqlite:///{ledger_path}", clock=clock)
    return Inbox(ledger, clock, Settings(repositories=(SHOP, OTHER)))


def test_a_merge_is_the_outcome_and_the_effect_of_its_delivery_in_its_trace(inbox: Inbox) -> None:
    task_id = inbox.opened()
    delivery = inbox.merged()
    assert inbox.apply(asks=False).count == 1
    assert inbox.state(task_id) is PullRequestState.MERGED
    with inbox.ledger.read() as tx:
        (effect,) = effects_of(tx, [delivery])
    assert (effect.effect, effect.subject, effect.detail) == ("outcome", f"{SHOP}#7", "open → merged")
    assert effect.trace_id == inbox.row(delivery).trace_id


def test_what_changes_nothing_has_no_effect(inbox: Inbox) -> None:
    inbox.opened()
    rows = [inbox.pull("labeled"), inbox.pull("closed", number=70, head={"ref": "feature", "sha": "b" * 40})]
    assert inbox.apply().count == 2
    assert inbox.effects(*rows) == []


def test_checks_pushes_and_reverts_are_effects_on_the_pull_requests_that_they_are_about(inbox: Inbox) -> None:
    inbox.opened()
    rows = [
        inbox.check("failure"),
        inbox.check("success"),
        inbox.check("failure", head="b" * 40),
        inbox.deliver("push", ref="refs/heads/main", commits=[]),
        inbox.merged(),
        inbox.merged(number=8, head={"ref": "revert-7", "sha": "c" * 40}, body=f"Reverts {SHOP}#7"),
    ]
    applied = inbox.apply()
    assert len(applied.touched.checked) == 2
    assert inbox.effects(*rows) == [
        ("checks", f"{SHOP}#7", "a check failed"),
        ("checks", f"{SHOP}#7", "a check passed: GitHub is asked of all"),
        ("base_moved", f"{SHOP}:main", "the base of #7"),
        ("outcome", f"{SHOP}#7", "open → merged"),
        ("revert", f"{SHOP}#8", "takes back #7"),
    ]


def test_a_dashboard_is_woken_once_by_its_delivery(inbox: Inbox) -> None:
    with inbox.ledger.write() as tx:
        dashboards.begin(tx, SHOP, "epoch", enabled=True, poll_s=60)
    row = inbox.deliver("issues", action="closed", issue={"number": 3, "body": DASHBOARD_MARK})
    inbox.apply()
    assert inbox.effects(row) == [("dashboard", SHOP, "it is looked at")]
    with inbox.ledger.read() as tx:
        board = dashboards.get(tx, SHOP)
    assert board is not None
    assert board.woken


def test_a_delivery_that_github_has_to_be_asked_for_stays_open_for_the_one_who_asks(inbox: Inbox) -> None:
    inbox.opened(review=ReviewState.NEEDS_APPROVAL)
    rows = [inbox.check("success"), inbox.pull("unlabeled"), inbox.merged()]
    first = inbox.apply(asks=False)
    assert [one.id for one in first.left] == rows[:2]
    assert [inbox.row(row).applied_at is None for row in rows] == [True, True, False]
    assert inbox.apply().count == 2
    assert [effect for effect, _, _ in inbox.effects(*rows)] == ["checks", "outcome"]


def test_one_that_cannot_be_applied_leaves_nothing_of_itself_but_its_error(inbox: Inbox) -> None:
    reverted, reverting = inbox.opened(7), inbox.opened(8)
    inbox.merged()
    inbox.apply()
    inbox.refuse_changes_of(7)
    bad = inbox.merged(number=8, body=f"Reverts {SHOP}#7")
    inbox.apply()
    assert (inbox.row(bad).apply_tries, inbox.effects(bad)) == (1, [])
    assert [inbox.state(task) for task in (reverted, reverting)] == [PullRequestState.MERGED, PullRequestState.OPEN]
    inbox.accept_all_changes()
    inbox.clock.forward(10)
    inbox.apply()
    assert [effect for effect, _, _ in inbox.effects(bad)] == ["outcome", "revert"]


def test_the_same_body_under_another_id_changes_nothing_once_more(inbox: Inbox) -> None:
    def deliver(delivery_id: str, action: str) -> int:
        content = {"action": action, "repository": {"id": 1, "full_name": SHOP, "archived": action == "archived"}}
        body = json.dumps(content).encode()
        sent = {"source": "github", "delivery_id": delivery_id, "event": "repository", "action": action}
        return record_delivery(inbox.ledger, repository=SHOP, body=body, **sent).id

    with inbox.ledger.write() as tx:
        repositories.record(tx, [KnownRepository(SHOP, 1)])
    rows = [deliver("d-1", "archived"), deliver("d-2", "unarchived"), deliver("captured", "archived")]
    assert inbox.apply().count == 3
    assert inbox.known(SHOP).state is RepositoryState.PRESENT
    assert [effect for effect, _, _ in inbox.effects(*rows)] == ["repository", "repository"]
    repeated = inbox.row(rows[2])
    assert repeated.filtered_by == "squire:repeated"
    with inbox.ledger.read() as tx:
        assert [first_of_repeated(tx, row) for row in rows] == [None, None, rows[0]]
    assert repeated.collected_at == repeated.applied_at == inbox.clock.now
    with inbox.ledger.write() as tx:
        set_aside(tx, rows[0], "it was given up")
        set_aside(tx, rows[1], "likewise")
    again = deliver("d-4", "unarchived")
    inbox.apply()
    assert inbox.row(again).filtered_by is None  # what did nothing is repeated by nothing


def test_no_more_bodies_are_read_at_once_than_fit_into_memory(inbox: Inbox) -> None:
    for _ in range(3):
        inbox.deliver("issues", action="opened", padding="x" * (33 * 2**20))
    inbox.clock.forward(3600)
    with inbox.ledger.read() as tx:
        assert reason_to_look(tx, inbox.settings) == "2 deliveries were not looked at"
    assert inbox.apply().count == 3


def test_one_that_cannot_be_applied_waits_longer_and_longer_is_set_aside_and_holds_up_no_other(inbox: Inbox) -> None:
    poisoned, other = inbox.opened(7), inbox.opened(8)
    inbox.refuse_changes_of(7)
    bad, later, fine = inbox.merged(), inbox.pull("closed"), inbox.merged(number=8)
    assert inbox.apply().count == 1
    assert inbox.state(other) is PullRequestState.MERGED
    assert inbox.row(fine).applied_at is not None
    for tries, wait_s in enumerate((10, 40, 160, 640), start=1):
        row = inbox.row(bad)
        assert (row.apply_tries, row.set_aside_at) == (tries, None)
        assert "it cannot be held" in row.error
        inbox.clock.forward(wait_s - 1)
        assert inbox.apply().count == 0
        with inbox.ledger.read() as tx:
            assert reason_to_look(tx, inbox.settings) is None
        # What came later about the same pull request is not applied before it.
        assert inbox.row(later).apply_tries == 0
        inbox.clock.forward(1)
        inbox.apply()
    assert inbox.row(bad).set_aside_at == inbox.row(bad).applied_at == inbox.clock.now
    assert len(inbox.warnings) == 6
    inbox.accept_all_changes()
    inbox.clock.forward(10)
    assert inbox.apply().count == 1
    assert inbox.state(poisoned) is PullRequestState.CLOSED


class _NamesThatFail(tuple[str, ...]):
    """The repositories of settings whose names cannot be read."""

    __slots__ = ()

    def __iter__(self) -> NoReturn:
        raise KeyError("acme/shop")


def test_whatever_one_raises_is_its_own_and_the_others_are_applied(inbox: Inbox) -> None:
    task_id = inbox.opened()
    account: dict[str, Any] = {"installation": {"id": 5, "account": {"login": "Acme"}}}
    bad = inbox.deliver("installation", repository=None, action="suspend", **account)
    fine = inbox.merged()
    inbox.settings = inbox.settings.model_copy(update={"repositories": _NamesThatFail()})
    inbox.apply()
    assert inbox.row(bad).error == "cannot be applied: KeyError: 'acme/shop'"
    assert (inbox.row(bad).apply_tries, inbox.effects(bad)) == (1, [])
    assert inbox.row(fine).applied_at is not None
    assert inbox.state(task_id) is PullRequestState.MERGED


def test_one_that_succeeds_at_a_later_try_has_no_error_any_more(inbox: Inbox) -> None:
    task_id = inbox.opened()
    inbox.refuse_changes_of(7)
    row = inbox.merged()
    inbox.apply()
    inbox.accept_all_changes()
    inbox.clock.forward(10)
    inbox.apply()
    assert (inbox.state(task_id), inbox.row(row).error) == (PullRequestState.MERGED, None)
    assert inbox.effects(row) == [("outcome", f"{SHOP}#7", "open → merged")]


def test_one_that_can_never_be_read_is_set_aside_at_once(inbox: Inbox) -> None:
    row = inbox.deliver("pull_request", action="closed", pull_request={"number": 0})
    inbox.apply()
    assert inbox.row(row).set_aside_at is not None
    assert "number" in inbox.row(row).error


def test_what_is_read_on_from_a_place_misses_nothing_that_comes_after_it(inbox: Inbox) -> None:
    place = InboxPlace()
    inbox.opened(review=ReviewState.NEEDS_APPROVAL)
    inbox.pull("unlabeled")
    assert len(inbox.apply(asks=False, place=place).left) == 1
    inbox.merged()
    again = inbox.apply(asks=False, place=place)
    assert (again.count, again.left) == (1, [])


def test_a_life_that_is_replayed_whole_changes_nothing_but_its_replays(inbox: Inbox) -> None:
    inbox.opened()
    inbox.opened(9)
    rows = [
        inbox.check("failure"),
        inbox.pull("closed"),
        inbox.pull("reopened"),
        inbox.deliver("push", ref="refs/heads/main", commits=[]),
        inbox.merged(),
        inbox.merged(number=8, head={"ref": "r", "sha": "c" * 40}, body=f"Reverts {SHOP}#7"),
        inbox.deliver("repository", action="renamed", github_id=4, repository="acme/store"),
        inbox.deliver("ping", zen="Keep it logically awesome."),
    ]
    inbox.apply()
    # GitHub was asked meanwhile, and the check that had failed was run again.
    with inbox.ledger.write() as tx:
        tx.execute(tables.outcomes.update().values(checks="passed"))
    before = _everything_but_marks(inbox)
    with inbox.ledger.write() as tx:
        deliveries.reopen(tx, rows, collects=False, applies=True)
    assert inbox.apply().count == len(rows)
    assert _everything_but_marks(inbox) == before
    assert {inbox.row(row).replays for row in rows} == {1}


def _everything_but_marks(inbox: Inbox) -> dict[str, list[Any]]:
    """The rows of all tables, without the marks of deliveries that a replay sets."""
    with inbox.ledger.read() as tx:
        return {
            table.name: [tuple(row) for row in tx.execute(select(table))]
            for table in tables.metadata.sorted_tables
            if table.name not in {"deliveries", "audit"}
        }


def test_what_happens_to_a_repository_is_known_at_once_by_its_id(inbox: Inbox) -> None:
    with inbox.ledger.write() as tx:
        repositories.record(tx, [KnownRepository(SHOP, github_id=1, name=SHOP, digest="d")])
        tx.execute(
            tables.collaborators.insert().values(
                repository=SHOP, login="mara", permission="write", note="", asked_at=tx.now
            )
        )
    renamed = record_delivery(
        inbox.ledger,
        source="github",
        delivery_id="renamed",
        event="repository",
        action="renamed",
        repository=SHOP,  # the receiver knows it by its id
        body=json.dumps({"action": "renamed", "repository": {"id": 1, "full_name": "acme/store"}}).encode(),
    ).id
    inbox.apply()
    known = inbox.known(SHOP)
    assert (known.state, known.name, known.digest) == (RepositoryState.RENAMED, "acme/store", None)
    ((effect, subject, detail),) = inbox.effects(renamed)
    assert (effect, subject) == ("repository", SHOP)
    assert "is now acme/store" in (detail or "")
    with inbox.ledger.read() as tx:
        assert tx.execute(select(tables.collaborators)).all() == []


def test_repositories_that_the_app_loses_are_shown_as_such_and_read_when_it_has_them_again(inbox: Inbox) -> None:
    account: dict[str, Any] = {"installation": {"id": 5, "account": {"login": "Acme"}}}
    listed = [{"id": 3, "full_name": OTHER}, {"id": 9, "full_name": "acme/unknown"}]
    removed = inbox.deliver(
        "installation_repositories", repository=None, action="removed", repositories_removed=listed, **account
    )
    inbox.apply()
    assert inbox.known(OTHER).state is RepositoryState.FORBIDDEN
    suspended = inbox.deliver("installation", repository=None, action="suspend", **account)
    inbox.apply()
    assert inbox.known(SHOP).state is RepositoryState.FORBIDDEN
    added = inbox.deliver(
        "installation_repositories", repository=None, action="added", repositories_added=listed, **account
    )
    inbox.apply()
    assert (inbox.known(OTHER).state, inbox.known(OTHER).message) == (RepositoryState.PRESENT, None)
    assert inbox.effects(removed, suspended, added) == [
        ("installation", "Acme", f"removed: lost {OTHER}"),
        ("installation", "Acme", f"suspend: lost {SHOP}, {OTHER}"),
        ("installation", "Acme", f"added: read {OTHER}"),
    ]
    with inbox.ledger.write() as tx:
        asked = deliveries.take_for_collection(tx, deliveries.RequestRule(60, 5))
    assert [(one.repository, one.trace_id) for one in asked] == [(OTHER, inbox.row(added).trace_id)]


def test_what_people_may_do_is_asked_anew_after_their_rights_have_changed(inbox: Inbox) -> None:
    with inbox.ledger.write() as tx:
        for name in (SHOP, OTHER):
            tx.execute(
                tables.collaborators.insert().values(
                    repository=name, login="mara", permission="write", note="", asked_at=tx.now
                )
            )
    row = inbox.deliver("member", action="removed", member={"login": "mara"})
    inbox.apply()
    assert inbox.effects(row) == [("access", SHOP, "what 1 people may do is asked anew")]
    inbox.deliver("organization", repository=None, action="member_removed", organization={"login": "ACME"})
    inbox.apply()
    with inbox.ledger.read() as tx:
        assert tx.execute(select(tables.collaborators)).all() == []


def test_a_ping_is_recorded(inbox: Inbox) -> None:
    rows = [inbox.deliver("ping", zen="Design for failure."), inbox.deliver("ping", repository=None, zen="Half.")]
    inbox.apply()
    assert inbox.effects(*rows) == [("ping", SHOP, None), ("ping", "the GitHub App", None)]


def test_a_delivery_that_overtakes_our_own_record_waits_for_it_and_not_for_ever(inbox: Inbox) -> None:
    row = inbox.merged()
    assert inbox.apply().count == 0
    task_id = inbox.opened()
    assert inbox.apply().count == 1
    assert inbox.state(task_id) is PullRequestState.MERGED
    late = inbox.merged(number=99)
    inbox.clock.forward(timedelta(minutes=11).total_seconds())
    assert inbox.apply().count == 1
    assert [inbox.row(one).applied_at is not None for one in (row, late)] == [True, True]
