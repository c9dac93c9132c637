"""Episodes of signals: when they open, change and end, and that a fact which returns opens a new one."""

from sqlalchemy import select

from squire_pipelines.domain.signals import CollectionStatus, OpenPullRequest, Signal, Source
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import signal_episodes, signal_events
from tests.support.ledgers import REPOSITORY, Clock, add_old_request, add_tasks, collect, issue, spec, wish


def history(ledger: Ledger) -> list[tuple[str, int, str, str]]:
    """Each event with its episode: key, number, change, version."""
    episode = signal_episodes.c
    query = select(episode.key, episode.number, signal_events.c.change, signal_events.c.version)
    joined = query.join(signal_events, signal_events.c.episode_id == episode.id).order_by(signal_events.c.id)
    with ledger.read() as tx:
        return [tuple(row) for row in tx.execute(joined)]


def spans(ledger: Ledger) -> list[tuple[object, object]]:
    with ledger.read() as tx:
        columns = signal_episodes.c["opened_at", "closed_at"]
        return [tuple(row) for row in tx.execute(select(*columns).order_by(signal_episodes.c.id))]


def pull_request(*, is_draft: bool = False, ci_state: str | None = None, threads: int = 0) -> Signal:
    details = OpenPullRequest(
        number=7,
        author="ada",
        is_draft=is_draft,
        head_ref="fix",
        head_sha="a" * 40,
        base_ref="main",
        ci_state=ci_state,
        unresolved_threads=threads,
    )
    return issue(7).model_copy(update={"details": details})


def test_a_fact_that_goes_and_returns_has_two_episodes(ledger: Ledger, clock: Clock) -> None:
    red = clock.now
    collect(ledger, issue(1))
    green = clock.forward(100)
    collect(ledger)
    red_again = clock.forward(1000)
    collect(ledger, issue(1))
    assert spans(ledger) == [(red, green), (red_again, None)]
    assert history(ledger) == [
        ("1", 1, "opened", "v1"),
        ("1", 1, "gone", "v1"),
        ("1", 2, "reopened", "v1"),
    ]


def test_a_change_is_an_event_of_the_same_episode_and_no_change_is_none(ledger: Ledger) -> None:
    collect(ledger, issue(1))
    collect(ledger, issue(1))
    collect(ledger, issue(1, version="v2"))
    collect(ledger, issue(1, version="v2"))
    assert history(ledger) == [("1", 1, "opened", "v1"), ("1", 1, "changed", "v2")]


def test_a_source_that_does_not_answer_ends_no_episode(ledger: Ledger) -> None:
    collect(ledger, issue(1))
    collect(ledger, status=CollectionStatus.FAILED)
    assert history(ledger) == [("1", 1, "opened", "v1")]


def test_a_reading_that_was_cut_off_ends_no_episode(ledger: Ledger) -> None:
    collect(ledger, issue(1), issue(2))
    collect(ledger, issue(1), truncated=True)
    assert [event[2] for event in history(ledger)] == ["opened", "opened"]


def test_it_is_an_event_when_it_becomes_the_authors_turn(ledger: Ledger) -> None:
    for pull in (pull_request(), pull_request(ci_state="failed"), pull_request(threads=1), pull_request()):
        collect(ledger, pull, source=Source.OPEN_PRS)
    with ledger.read() as tx:
        turns = tx.execute(select(signal_events.c.change, signal_events.c.waits_for).order_by(signal_events.c.id))
        assert [tuple(row) for row in turns] == [("opened", None), ("changed", "ada"), ("changed", None)]


def test_a_persons_request_ends_when_a_task_answers_it(ledger: Ledger) -> None:
    request = wish()
    with ledger.write() as tx:
        add_old_request(tx, request)
    add_tasks(ledger, spec("a", signals=(request.ref,)))
    assert [event[2] for event in history(ledger)] == ["opened", "gone"]


def test_repositories_do_not_share_episodes(ledger: Ledger) -> None:
    collect(ledger, issue(1))
    elsewhere = issue(1).model_copy(update={"repository": "acme/other"})
    collect(ledger, elsewhere, repository="acme/other")
    collect(ledger, repository="acme/other")
    with ledger.read() as tx:
        open_in = select(signal_episodes.c.repository).where(signal_episodes.c.closed_at.is_(None))
        assert list(tx.execute(open_in).scalars()) == [REPOSITORY]
