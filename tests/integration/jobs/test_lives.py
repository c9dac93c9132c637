"""Lives of pull requests of ours, from their opening to their end: a few of those that `make bench-follow` lives."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.pull_endings import PullEnding
from squire_pipelines.ledger import deliveries, outcomes, tables
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.delivery_effects import effects_of
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import outcomes as outcome_table
from tests.support.ledgers import add_task
from tests.support.life_run import LifeRun
from tests.support.life_scripts import LIVES
from tests.support.life_world import HOSTED
from tests.support.lives import Kills, Lives, News

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    made = Lives(tmp_path_factory.mktemp("lives"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("name", "news", "kills"),
    [
        ("checks are mended", News.LATE, Kills.NONE),
        ("a remark is done", News.DELIVERED, Kills.SOME),
        ("closed while an agent mends it", News.ASKED_FOR, Kills.NONE),
        ("a person replaces the branch", News.DOUBLED, Kills.NONE),
        ("the pull request vanishes and comes back later", News.ASKED_FOR, Kills.NONE),
        ("the repository is made anew, with somebody's pull request of our number", News.DELIVERED, Kills.NONE),
        ("its branch is deleted and made again", News.REVERSED, Kills.NONE),
        ("a rule refuses the first push, and is lifted", News.ASKED_FOR, Kills.NONE),
        ("a merge queue drops it, and a new head is queued", News.LATE, Kills.NONE),
        ("a person merges it while auto-merge has it", News.DELIVERED, Kills.NONE),
        ("the merge breaks the base, and a person squashes the revert", News.ASKED_FOR, Kills.NONE),
        ("merged into a renamed base, and reverted by a commit", News.DELIVERED, Kills.NONE),
        ("stop is ticked while an agent mends it", News.REVERSED, Kills.NONE),
        ("GitHub is away when the work is published, and at the next try", News.DELIVERED, Kills.NONE),
    ],
)
def test_a_life_ends_as_it_must_with_one_pull_request_and_nothing_lost_or_said_twice(
    lives: Lives, name: str, news: News, kills: Kills
) -> None:
    assert lives.live(name, news, kills).problems == ()


def test_what_was_opened_again_and_merged_before_its_end_was_judged_counts_as_merged(lives: Lives) -> None:
    with lives.begin(LIVES["closed"]) as (forge, squire):
        task_id = add_task(squire.ledger, repository=HOSTED)
        squire.look()
        forge.set_state("closed")
        squire.clock.forward(61)
        squire.look()
        with squire.ledger.write() as tx:  # as where the process dies before it has found out how it ended
            tx.execute(outcome_table.update().values(ending=None, judged_at=None))
        forge.set_state("open")
        forge.merge()
        squire.go_on()
        with squire.ledger.read() as tx:
            outcome = outcomes.get(tx, task_id)
    assert outcome is not None
    assert (outcome.state, outcome.ending) == (PullRequestState.MERGED, PullEnding.MERGED_UNCHANGED)


def test_a_life_whose_deliveries_are_all_replayed_stays_as_it_ended(lives: Lives) -> None:
    life = replace(LIVES["closed"], happens=["person pushes", "ask again", "close"])
    with lives.begin(life) as (forge, squire):
        run = LifeRun(life, forge, squire, News.DELIVERED)
        squire.agent.act = run.act
        run.live()
        before = _happened(squire.ledger)
        with squire.ledger.write() as tx:
            rows = tx.execute(select(tables.deliveries.c.id)).scalars().all()
            deliveries.reopen(tx, rows, collects=True, applies=True)
        squire.go_on()
        assert run.problems() == ()
        with squire.ledger.read() as tx:
            assert tx.execute(select(func.min(tables.deliveries.c.replays))).scalar_one() == 1
            assert {one.effect for one in effects_of(tx, rows)} >= {"outcome", "checks", "command", "collected"}
            assert deliveries.still_open(tx, rows) == ()
            assert not deliveries.has_unapplied(tx)
        assert _happened(squire.ledger) == before


def _happened(ledger: Ledger) -> list[object]:
    """What happened to tasks and pull requests, what deliveries did, and what people ordered."""
    row = tables.outcomes.c
    with ledger.read() as tx:
        return [
            *map(tuple, tx.execute(select(row.task_id, row.state, row.checks, row.head_sha, row.handed_over))),
            *(
                tuple(one)
                for table in (tables.task_events, tables.attempts, tables.delivery_effects)
                for one in tx.execute(select(table).order_by(table.c.id))
            ),
            *(entry.id for entry in audit_page(tx, limit=1000) if entry.action.startswith("command.")),
        ]


def test_there_are_sixty_lives() -> None:
    assert len(LIVES) >= 60
