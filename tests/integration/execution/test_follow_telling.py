"""What is told on our own pull requests keeps to the settings: answers of a thread, resolving, the conflict's label."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from squire_pipelines.agents.adapters.session import FILE as TRANSCRIPT
from squire_pipelines.agents.adapters.transcript import ModelText, dump
from squire_pipelines.domain.base_updates import MergeState
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.outcomes import Mergeability, PullRequestReport, PullRequestState
from squire_pipelines.domain.tasks import FollowUp, FollowUpKind
from squire_pipelines.execution.follow_telling import tell
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.ledger import attempts, base_merges, followed_pulls, outcomes
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.base_merges import HeadPair
from squire_pipelines.ledger.followed_pulls import Followed
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import REPOSITORY, Clock, settle, start_attempt, token_of

HEAD, NEXT, BASE = "e" * 40, "f" * 40, "b" * 40


class ThreadOnGitHub:
    """A pull request with one open thread; keeps comments, labels and how many threads are resolved."""

    def __init__(self) -> None:
        self.comments: list[str] = []
        self.labels: list[str] = []
        self.resolved = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content)
        if request.url.path.endswith("/labels"):
            self.labels += content["labels"]
        elif not request.url.path.endswith("graphql"):
            self.comments.append(content["body"])
        elif "resolveReviewThread" in content["query"]:
            self.resolved += 1
        comment = {"id": "C1", "databaseId": 11, "body": "Say when."}
        thread = {"id": "T1", "isResolved": False, "viewerCanResolve": True, "comments": {"nodes": [comment]}}
        pull = {"reviewThreads": {"nodes": [thread]}, "reviews": {"nodes": []}, "comments": {"nodes": []}}
        return httpx.Response(200, json={"id": 1, "data": {"repository": {"pullRequest": pull}}})


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "home"))


class TellingPull:
    """A ledger with one open pull request of ours, and what is told of it."""

    def __init__(self, ledger: Ledger, **follow: Any) -> None:
        self.ledger, self.github = ledger, ThreadOnGitHub()
        self.settings = Settings.model_validate({"follow": follow})
        self.settings.home.attempts.mkdir(parents=True)
        attempt = start_attempt(ledger)
        self.task_id = attempt.task_id
        with ledger.write() as tx:
            outcomes.record_opened(
                tx, task_id=self.task_id, repository=REPOSITORY, pr_number=7, pr_url="https://x/7", head_sha=HEAD
            )
        settle(ledger, attempt, Cause.COMPLETED)

    @property
    def followed(self) -> Followed:
        with self.ledger.read() as tx:
            (followed,) = followed_pulls.read_followed(tx, task_ids=[self.task_id])
        return followed

    def answer_once(self) -> None:
        """Deal with the thread's remark in one round of work, which did as was asked."""
        follow_up = FollowUp(kind=FollowUpKind.REMARKS, head_sha=HEAD)
        attempt = start_attempt(
            self.ledger, base_branch=self.followed.branch, follow_up=follow_up, signals=("review_finding:T1",)
        )
        keep = self.settings.home.attempts / attempt.id / "keep"
        keep.mkdir(parents=True)
        (keep / TRANSCRIPT).write_text(f"{dump(ModelText(text='Remark 1: done: it says when'))}\n")
        with self.ledger.write() as tx:
            facts = AttemptFacts(head_sha=NEXT, base_sha=HEAD, pr_number=7, pr_url="https://x/7")
            attempts.note(tx, attempt.id, token_of(attempt), facts)
        settle(self.ledger, attempt, Cause.COMPLETED)

    def tell(self) -> None:
        async def within() -> None:
            settings = GitHubSettings(api_url="https://api.test", min_write_interval_s=0)
            http = httpx.AsyncClient(transport=httpx.MockTransport(self.github))
            async with GitHubClient(settings, "ghp_" + "x" * 36, http=http) as client:
                await tell(self.ledger, client, lambda _: self.settings, logging.getLogger("test"))

        asyncio.run(within())


@pytest.mark.parametrize("resolves", [True, False])
def test_a_thread_is_resolved_where_the_change_was_made_and_the_settings_let_it(
    ledger: Ledger, *, resolves: bool
) -> None:
    pull = TellingPull(ledger, resolve_threads=resolves)
    pull.answer_once()
    pull.tell()
    (text,) = pull.github.comments
    assert f"Done in {NEXT}: it says when" in text
    assert pull.github.resolved == resolves


@pytest.mark.parametrize(("most", "is_last"), [(1, True), (2, False)])
def test_the_last_answer_that_a_thread_may_have_says_that_it_is_the_last(
    ledger: Ledger, *, most: int, is_last: bool
) -> None:
    pull = TellingPull(ledger, max_answers_of_thread=most)
    pull.answer_once()
    pull.tell()
    (text,) = pull.github.comments
    sentence = "Squire has answered here once, and leaves what is said in this thread from now on to people."
    assert (sentence in text) is is_last


@pytest.mark.parametrize("label", ["needs: rebase", ""])
def test_a_conflict_that_is_left_to_people_gets_the_label_of_the_settings_or_none(
    ledger: Ledger, clock: Clock, label: str
) -> None:
    pull = TellingPull(ledger, conflict_label=label)
    report = PullRequestReport(
        repository=REPOSITORY,
        number=7,
        url="https://x/7",
        head_ref="squire/x",
        head_sha=HEAD,
        state=PullRequestState.OPEN,
        updated_at=clock.now,
        mergeability=Mergeability.CONFLICTING,
        base_sha=BASE,
    )
    why = "it conflicts with its base"
    followed = pull.followed
    with ledger.write() as tx:
        outcomes.apply_report(tx, report, actor="github")
        base_merges.record(tx, HeadPair(pull.task_id, HEAD, BASE), MergeState.CONFLICT)
        followed_pulls.record_state(tx, followed, FollowState.HANDED_OVER, why, handed_over=why)
    pull.tell()
    (comment,) = pull.github.comments
    assert f"leaves this pull request to people: {why}" in comment
    assert pull.github.labels == ([label] if label else [])
