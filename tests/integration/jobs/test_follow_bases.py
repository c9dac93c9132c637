"""Bases that move on below our own pull requests: branches are brought up to date, conflicts resolved, or left."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.tasks import FollowUpKind, TaskStatus
from squire_pipelines.execution.base_updates import BaseKeeper
from squire_pipelines.execution.follow_telling import tell
from squire_pipelines.execution.following import due_acts, take_steps
from squire_pipelines.github.connection import GitHub
from squire_pipelines.ledger import attempts, followed_pulls, outcomes, tasks
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.tables import base_merges
from squire_pipelines.ledger.tables import outcomes as outcome_table
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.publishing import follow as following
from tests.support.git_repository import Checkout
from tests.support.ledgers import dispatch, settle, start_attempt, token_of
from tests.support.pipeline import QUIET, Pipeline

pytestmark = pytest.mark.slow
BRANCH = "ours/topic"  # not `squire/`, whose green pull requests the forge merges
AT_ONCE = "[pipeline]\noutcome_poll_s = 0.001\n"
_log = logging.getLogger(__name__)


@dataclass
class OwnPull:
    """A pull request of ours, and a person's clone of its repository."""

    pipeline: Pipeline
    forge: ForgeProcess
    person: Checkout
    task_id: str
    number: int
    head: str

    def push_to_base(self, files: dict[str, str]) -> str:
        """The base moves on; its new head."""
        self.person.git("checkout", "--quiet", "main")
        for name, text in files.items():
            self.person.write(name, text)
        base = self.person.commit("The base moves on")
        self.person.git("push", "--quiet", "origin", "main")
        return base

    def look(self) -> None:
        """One look: what GitHub says, what is due about bases, the steps, and what is said of them."""
        asyncio.run(self._look())

    async def _look(self) -> None:
        pipeline, settings = self.pipeline, self.pipeline.settings
        github = GitHub(settings, pipeline.ledger)
        await following.follow(pipeline.ledger, settings, github, _log)
        async with github.client() as client:
            await BaseKeeper(pipeline.ledger, github, client, lambda _: settings, _log).keep()
            take_steps(pipeline.ledger, lambda _: settings)
            await tell(pipeline.ledger, client, lambda _: settings, _log)

    def keep_only(self) -> None:
        """What is due about bases, without GitHub's newest word."""

        async def keep() -> None:
            settings = self.pipeline.settings
            github = GitHub(settings, self.pipeline.ledger)
            async with github.client() as client:
                await BaseKeeper(self.pipeline.ledger, github, client, lambda _: settings, _log).keep()

        asyncio.run(keep())

    @property
    def stands(self) -> tuple[str | None, str | None]:
        with self.pipeline.ledger.read() as tx:
            outcome = outcomes.get(tx, self.task_id)
        assert outcome is not None
        return outcome.follow_state, outcome.follow_reason

    @property
    def at_github(self) -> dict[str, Any]:
        (hosted,) = [one for one in self.forge.state()["repositories"] if one["name"] == QUIET]
        (pull,) = [pull for pull in hosted["pull_requests"] if pull["head"] == BRANCH]
        return dict(pull)

    def parents(self, commit: str) -> list[str]:
        self.person.git("fetch", "--quiet", "origin")
        return self.person.git("log", "-1", "--format=%P", commit).split()

    @property
    def notes(self) -> list[str]:
        with self.pipeline.ledger.read() as tx:
            return [event.reason for event in tasks.events(tx, self.task_id) if event.subject == "follow"]

    def let_wait_end(self) -> None:
        with self.pipeline.ledger.write() as tx:
            tx.execute(update(base_merges).values(again_at=tx.now - timedelta(seconds=1)))


@pytest.fixture
def own(pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path) -> OwnPull:
    """A pull request that adds two lines to a file of its own."""
    pipeline.configure(AT_ONCE)
    url = forge.git_url(QUIET).replace("://", f"://x-access-token:{forge.token}@")
    person = Checkout(tmp_path / "person", url)  # type: ignore[arg-type]  # git takes either
    base = person.head()
    person.git("checkout", "--quiet", "-b", BRANCH)
    person.write("topic.txt", "one\ntwo\n")
    head = person.commit("Add a topic")
    person.git("push", "--quiet", "origin", BRANCH)
    made = httpx.post(
        f"{forge.api_url}/repos/{QUIET}/pulls",
        json={"title": "Topic", "head": BRANCH, "base": "main"},
        headers={"Authorization": f"Bearer {forge.token}"},
        timeout=30,
    ).json()
    attempt = start_attempt(pipeline.ledger, repository=QUIET, base_branch="main")
    with pipeline.ledger.write() as tx:
        tx.execute(update(task_table).where(task_table.c.id == attempt.task_id).values(branch=BRANCH))
        facts = AttemptFacts(head_sha=head, base_sha=base, pr_number=made["number"], pr_url=made["html_url"])
        attempts.note(tx, attempt.id, token_of(attempt), facts)
        outcomes.record_opened(
            tx,
            task_id=attempt.task_id,
            repository=QUIET,
            pr_number=made["number"],
            pr_url=made["html_url"],
            head_sha=head,
        )
    settle(pipeline.ledger, attempt, Cause.COMPLETED)
    return OwnPull(pipeline, forge, person, attempt.task_id, made["number"], head)


def test_a_branch_behind_is_updated_by_github_and_that_head_is_ours_but_no_persons(own: OwnPull) -> None:
    own.forge.act_as(QUIET, "mara", permission="write", merging={"up_to_date": True})
    base = own.push_to_base({"base.txt": "moved\n"})
    own.forge.add_fault(r"^PUT .*/update-branch$", status=403, body='{"message": "no"}')
    own.look()
    assert own.stands[0] == FollowState.HANDED_OVER
    assert "its branch is behind its base and cannot be updated:" in (own.stands[1] or "")
    with own.pipeline.ledger.write() as tx:
        assert followed_pulls.take_up(tx, own.task_id, actor="github:mara", reason="asked for")
    own.look()
    assert own.stands == (FollowState.UPDATING, "GitHub brings its branch up to date with its base")
    updated = own.at_github["head_sha"]
    assert own.parents(updated) == [own.head, base]
    own.look()
    assert own.stands == (FollowState.WAITING_FOR_MERGE, "nothing but its merge")
    brought = f"{updated[:12]} brings {own.head[:12]} up to {base[:12]} of its base as git does"
    assert any(note.startswith(brought) for note in own.notes)
    # What a person brings of their own ends our pushes.
    own.person.git("checkout", "--quiet", BRANCH)
    own.person.git("merge", "--quiet", "--ff-only", f"origin/{BRANCH}")
    own.person.write("topic.txt", "one\ntwo\nthree\n")
    pushed = own.person.commit("A person's line")
    own.person.git("push", "--quiet", "origin", BRANCH)
    own.push_to_base({"topic.txt": "another\n"})
    own.look()
    assert own.stands == (FollowState.HANDED_OVER, "somebody else has pushed to its branch")
    own.look()
    assert own.at_github["head_sha"] == pushed


@pytest.mark.parametrize("commits", ["git", "api"])
def test_what_git_merges_by_itself_is_pushed_without_an_agent(own: OwnPull, commits: str) -> None:
    own.pipeline.configure(f'{AT_ONCE}[publishing]\ncommits = "{commits}"\n')
    base = own.push_to_base({"base.txt": "moved\n"})
    own.look()
    assert due_acts(own.pipeline.ledger, lambda _: own.pipeline.settings) == ()
    with own.pipeline.ledger.write() as tx:
        # As GitHub says of what it gives up on; of an older head of the base, too.
        tx.execute(update(outcome_table).values(mergeability="conflicting", base_sha=own.head))
    own.keep_only()
    head = own.at_github["head_sha"]
    assert own.parents(head) == [own.head, base]
    with own.pipeline.ledger.read() as tx:
        (row,) = tx.execute(select(base_merges)).all()
        outcome = outcomes.get(tx, own.task_id)
    assert (row.state, row.base_sha, row.result_sha) == ("merged", base, head)
    assert outcome is not None
    assert (outcome.head_sha, outcome.base_sha) == (head, base)
    own.look()
    assert own.stands == (FollowState.WAITING_FOR_MERGE, "nothing but its merge")


def test_a_branch_that_moved_or_vanished_meanwhile_is_left_as_it_is(own: OwnPull) -> None:
    base = own.push_to_base({"topic.txt": "a conflict\n"})
    with own.pipeline.ledger.write() as tx:
        tx.execute(update(outcome_table).values(mergeability="conflicting", base_ref="renamed", base_sha=base))
    own.keep_only()
    own.person.git("checkout", "--quiet", BRANCH)
    own.person.write("more.txt", "more\n")
    pushed = own.person.commit("More")
    own.person.git("push", "--quiet", "origin", BRANCH)
    own.let_wait_end()
    with own.pipeline.ledger.write() as tx:
        tx.execute(update(outcome_table).values(base_ref="main"))
        (renamed,) = tx.execute(select(base_merges.c.error)).scalars()
    assert renamed == f"{QUIET} has no branch 'renamed'"
    own.keep_only()
    with own.pipeline.ledger.read() as tx:
        (moved,) = tx.execute(select(base_merges.c.error)).scalars()
    assert moved.startswith("its head is another one by now")
    assert own.at_github["head_sha"] == pushed


def test_a_conflict_is_resolved_by_an_agent_on_the_same_branch_as_a_merge(own: OwnPull) -> None:
    base = own.push_to_base({"topic.txt": "one\nzwei\n"})
    own.look()
    own.look()
    assert own.stands == (FollowState.UPDATING, "an agent resolves its conflict with its base")
    with own.pipeline.ledger.read() as tx:
        (followed,) = followed_pulls.read_followed(tx, task_ids=[own.task_id])
        (work,) = followed.work
        prompt = tasks.get(tx, work.task_id).spec.prompt
    assert work.follow_up is not None
    assert (work.follow_up.kind, work.follow_up.base_sha, work.status) == (
        FollowUpKind.CONFLICT,
        base,
        TaskStatus.READY,
    )
    assert "- topic.txt" in prompt
    seen = 'grep -q "Merge conflict in topic.txt" $SQUIRE_EVIDENCE/conflict.txt'
    resolved = "grep -q '^<<<<<<<' topic.txt && printf 'one\\ntwo\\nzwei\\n' > topic.txt"
    own.pipeline.commands = {
        QUIET: (
            "sh",
            "-c",
            f"{seen} && git log -1 HEAD^2 >&2 && {resolved}",
        )
    }
    own.pipeline.configure(AT_ONCE)
    (attempt,) = dispatch(own.pipeline.ledger)
    own.pipeline.agent_run(attempt)
    done = own.pipeline.read_attempt(attempt.id)
    assert (done.cause, done.pr_number) == (Cause.COMPLETED, own.number)
    assert own.parents(own.at_github["head_sha"]) == [own.head, base]
    assert own.person.git("show", f"origin/{BRANCH}:topic.txt") == "one\ntwo\nzwei"
    own.look()
    assert own.stands == (FollowState.WAITING_FOR_MERGE, "nothing but its merge")


def test_a_conflict_that_stays_is_left_to_people_with_one_comment_and_a_label_while_it_lasts(own: OwnPull) -> None:
    own.pipeline.configure(f"{AT_ONCE}[follow]\nmax_resolves = 0\n")
    own.push_to_base({"topic.txt": "one\nzwei\n"})
    own.look()
    own.look()
    assert own.stands == (FollowState.HANDED_OVER, "it conflicts with its base again after 0 tries to resolve that")
    assert len(own.at_github["comments"]) == 1
    assert own.at_github["labels"] == ["squire:conflict"]
    own.push_to_base({"topic.txt": "one\ntwo\n"})
    own.look()
    assert own.at_github["labels"] == []
