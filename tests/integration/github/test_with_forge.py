"""The client, the readings and the writes against the forge: real HTTP, real git, signed deliveries."""

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

import pytest
import stamina

from squire_forge.process import ForgeProcess
from squire_forge.samples import SampleRepository
from squire_pipelines.domain.outcomes import ChecksState, PullRequestReport, PullRequestState
from squire_pipelines.domain.signals import AnySource, Collection, CollectionStatus, FailedCheck, ReviewFinding, Source
from squire_pipelines.domain.tasks import TaskKind
from squire_pipelines.errors import (
    GitHubAuthError,
    GitHubNotFoundError,
    GitHubRateLimitError,
    GitHubUnavailableError,
    GitHubValidationError,
)
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.collecting import collect_repository
from squire_pipelines.github.events import ParsedDelivery, parse_delivery
from squire_pipelines.github.evidence.checks import add_evidence
from squire_pipelines.github.kept_answers import KeptAnswers
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.github.protocol import parse_delivery_headers, verify_signature
from squire_pipelines.github.pull_request_reports import pull_request_reports
from squire_pipelines.github.pulls import (
    PullRequestRef,
    add_labels,
    create_pull_request,
    find_pull_request,
    update_pull_request,
)
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.selection import PlanInputs
from squire_pipelines.secrets.redact import Redactor
from squire_pipelines.sections.services import GitHubSettings
from tests.support.forked import ForkedForge
from tests.support.git_repository import git

T = TypeVar("T")
Ask = Callable[[GitHubClient], Awaitable[T]]
BRANCH = "squire/t1-mend"


def run(forge: ForgeProcess, ask: Ask[T], *, token: str | None = None, attempts: int = 1) -> T:
    async def within() -> T:
        with stamina.set_testing(True, attempts=attempts):
            settings = GitHubSettings(api_url=forge.api_url, timeout_s=20, min_write_interval_s=0)
            async with GitHubClient(settings, token or forge.token) as client:
                return await ask(client)

    return asyncio.run(within())


async def points_left(client: GitHubClient) -> int:
    """Return what is left of the GraphQL limit; asking costs nothing."""
    limits = await client.get("/rate_limit")
    return int(limits["resources"]["graphql"]["remaining"])


async def core_left(client: GitHubClient) -> int:
    """Return what is left of the REST limit; asking costs nothing."""
    limits = await client.get("/rate_limit")
    return int(limits["resources"]["core"]["remaining"])


def test_what_has_not_changed_costs_no_quota_when_it_is_asked_again(forge: ForgeProcess, tmp_path: Path) -> None:
    path = "/repos/demo/webshop"

    async def ask() -> tuple[object, int]:
        answers = KeptAnswers(tmp_path / "answers", max_answers=100)
        async with GitHubClient(GitHubSettings(api_url=forge.api_url), forge.token, answers=answers) as client:
            before = await core_left(client)
            content = await client.get(path)
            return content, before - await core_left(client)

    first, second = asyncio.run(ask()), asyncio.run(ask())
    assert second[0] == first[0]
    assert (first[1], second[1]) == (1, 0)


async def report_of(client: GitHubClient, repository: str, number: int) -> PullRequestReport:
    return (await pull_request_reports(client, {repository: [number]})).reports[repository, number]


def collect(forge: ForgeProcess, repository: str, *, attempts: int = 1) -> dict[AnySource, Collection]:
    collections = run(forge, lambda client: collect_repository(client, repository), attempts=attempts)
    return {collection.source: collection for collection in collections}


def push_branch(forge: ForgeProcess, repository: str, folder: Path, *, base: str) -> str:
    address = forge.git_url(repository).replace("http://", f"http://x:{forge.token}@")
    git(folder.parent, "clone", "--quiet", "--branch", base, address, str(folder))
    (folder / "MENDED.md").write_text("mended\n")
    git(folder, "checkout", "--quiet", "-b", BRANCH)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "Mend it")
    git(folder, "push", "--quiet", "origin", BRANCH)
    return git(folder, "rev-parse", "HEAD")


def open_pull(repository: str, *, base: str) -> Ask[PullRequestRef]:
    return lambda client: create_pull_request(
        client, repository, title="Mend it", body="Because.", head=BRANCH, base=base, draft=False
    )


@pytest.mark.slow
def test_samples_yield_one_task_each_and_the_quiet_one_none(
    forge: ForgeProcess, samples: tuple[SampleRepository, ...]
) -> None:
    kinds: dict[str, list[TaskKind]] = {}
    for sample in samples:
        collections = collect(forge, sample.full_name)
        assert {collection.status for collection in collections.values()} == {CollectionStatus.FRESH}
        signals = [signal for collection in collections.values() for signal in collection.signals]
        inputs = PlanInputs(sample.full_name, signals, sample.default_branch, ("squire",), frozenset(), max_tasks=20)
        plan = plan_by_rules(inputs)
        kinds[sample.name] = [task.kind for task in plan.tasks]
    assert kinds == {
        "ledgerlib": [TaskKind.FIX_CI],
        "webshop": [TaskKind.ADDRESS_REVIEW],
        "handbook": [TaskKind.RESOLVE_ISSUE],
        "quiet": [],
    }


def test_one_collection_of_a_small_repository_costs_three_points(forge: ForgeProcess) -> None:
    async def spent(client: GitHubClient) -> int:
        before = await points_left(client)
        await collect_repository(client, "demo/webshop")
        return before - await points_left(client)

    assert run(forge, spent) <= 3


@pytest.mark.slow
def test_each_reading_says_what_it_used_of_the_quota(forge: ForgeProcess) -> None:
    async def spent(client: GitHubClient) -> tuple[int, tuple[Collection, ...]]:
        before = await points_left(client)
        collections = await collect_repository(client, "demo/webshop")
        return before - await points_left(client), collections

    points, collections = run(forge, spent)
    # What sources share is counted for one of them, so that the sum is what was spent.
    assert sum(reading.quota_cost or 0 for reading in collections) == points
    assert sum(reading.requests or 0 for reading in collections) == 3, "with a question about each of two people"
    assert min(reading.quota_remaining for reading in collections if reading.quota_remaining is not None) > 0


def test_repository_is_described(forge: ForgeProcess, samples: tuple[SampleRepository, ...]) -> None:
    sample = samples[0]
    info = run(forge, lambda client: repository_info(client, sample.full_name))
    assert (info.name, info.default_branch) == (sample.full_name, sample.default_branch)
    assert info.clone_url == forge.git_url(sample.full_name)
    assert (info.archived, info.private, info.can_push, info.is_empty) == (False, False, True, False)


@pytest.mark.slow
def test_unknown_repository_and_bad_token_are_their_errors(forge: ForgeProcess) -> None:
    with pytest.raises(GitHubNotFoundError, match="no repository demo/nothing"):
        run(forge, lambda client: repository_info(client, "demo/nothing"))
    with pytest.raises(GitHubAuthError, match="Bad credentials"):
        run(forge, lambda client: repository_info(client, "demo/quiet"), token="wrong")
    assert {c.error_code for c in collect(forge, "demo/nothing").values()} == {"github_not_found"}


def test_nobody_at_the_address_is_unavailable_and_names_it(forge: ForgeProcess) -> None:
    forge.stop()
    with pytest.raises(GitHubUnavailableError, match=forge.graphql_url):
        run(forge, lambda client: repository_info(client, "demo/quiet"))


def test_broken_answers_are_tried_again(forge: ForgeProcess) -> None:
    forge.add_fault("RepositorySignals", status=502, times=2)
    collections = collect(forge, "demo/webshop", attempts=3)
    assert {collection.status for collection in collections.values()} == {CollectionStatus.FRESH}
    assert len(collections[Source.REVIEW_FINDINGS].signals) == 3


@pytest.mark.slow
def test_broken_source_fails_alone(forge: ForgeProcess) -> None:
    forge.add_fault("Issues|RepositorySignals", status=502, times=10)
    collections = collect(forge, "demo/handbook")
    assert [source for source, c in collections.items() if c.status is CollectionStatus.FAILED] == [Source.OPEN_ISSUES]


@pytest.mark.slow
def test_limit_is_reported_with_its_wait(forge: ForgeProcess) -> None:
    forge.add_fault(
        "GET .*/user", status=403, body='{"message": "secondary rate limit"}', headers={"retry-after": "77"}
    )
    with pytest.raises(GitHubRateLimitError) as caught:
        run(forge, lambda client: client.get("/user"))
    assert caught.value.retry_after_s == 77


@pytest.fixture
def patient_forge(forge_home: Path, samples: tuple[SampleRepository, ...]) -> Iterator[ForgeProcess]:
    """A forge that merges nothing by itself."""
    with ForkedForge.start(forge_home, merge_prefix=None) as running:
        running.host_repository(next(sample for sample in samples if sample.name == "quiet"))
        yield running


def test_pull_request_is_opened_once_however_often_it_is_asked_for(patient_forge: ForgeProcess, tmp_path: Path) -> None:
    forge = patient_forge
    head = push_branch(forge, "demo/quiet", tmp_path / "work", base="main")
    assert run(forge, lambda client: find_pull_request(client, "demo/quiet", BRANCH)) is None
    # The first answer is lost after the pull request was made: the second try finds it.
    forge.add_fault("POST .*/pulls", status=502, after=True)
    created = run(forge, open_pull("demo/quiet", base="main"), attempts=3)
    assert (created.state, created.head_sha, created.base, created.draft) == ("open", head, "main", False)
    assert run(forge, open_pull("demo/quiet", base="main")) == created
    assert run(forge, lambda client: find_pull_request(client, "demo/quiet", BRANCH)) == created

    async def change(client: GitHubClient) -> PullRequestRef:
        await add_labels(client, "demo/quiet", created.number, ["squire"])
        return await update_pull_request(client, "demo/quiet", created.number, title="Fixed")

    assert run(forge, change).title == "Fixed"
    run(forge, lambda client: client.patch(f"/repos/demo/quiet/pulls/{created.number}", {"state": "closed"}))
    report = run(forge, lambda client: report_of(client, "demo/quiet", created.number))
    assert (report.state, report.head_ref, report.head_sha) == (PullRequestState.CLOSED, BRANCH, head)
    assert report.closed_at is not None
    many = run(forge, lambda client: pull_request_reports(client, {"demo/quiet": [created.number, 999]}))
    assert many.reports == {("demo/quiet", created.number): report}


@pytest.mark.slow
def test_pull_request_that_was_merged_meanwhile_is_not_opened_again(forge: ForgeProcess, tmp_path: Path) -> None:
    push_branch(forge, "demo/quiet", tmp_path / "work", base="main")
    created = run(forge, open_pull("demo/quiet", base="main"))
    forge.settle()
    again = run(forge, open_pull("demo/quiet", base="main"))
    assert (again.number, again.state) == (created.number, "merged")


def test_pull_request_without_commits_is_refused_with_the_reason(forge: ForgeProcess, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    address = forge.git_url("demo/quiet").replace("http://", f"http://x:{forge.token}@")
    git(tmp_path, "clone", "--quiet", address, str(folder))
    git(folder, "push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}")
    with pytest.raises(GitHubValidationError, match="No commits between"):
        run(forge, open_pull("demo/quiet", base="main"))


@contextmanager
def receiver() -> Iterator[tuple[str, "queue.Queue[tuple[dict[str, str], bytes]]"]]:
    arrived: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.put((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/webhooks/github", arrived
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


@pytest.mark.slow
def test_deliveries_are_verified_and_tell_what_became_of_a_pull_request(
    forge_home: Path, samples: tuple[SampleRepository, ...], tmp_path: Path
) -> None:
    sample = next(sample for sample in samples if sample.name == "quiet")
    with receiver() as (url, arrived), ForkedForge.start(forge_home, webhook_url=url) as forge:
        forge.host_repository(sample)
        push_branch(forge, sample.full_name, tmp_path / "work", base="main")
        opened = run(forge, open_pull(sample.full_name, base="main"))
        forge.settle()
        parsed: list[ParsedDelivery] = []
        while not arrived.empty():
            headers, body = arrived.get()
            (signature,) = [value for name, value in headers.items() if name.lower() == "x-hub-signature-256"]
            assert verify_signature(body, signature, forge.webhook_secret.encode())
            assert not verify_signature(body + b" ", signature, forge.webhook_secret.encode())
            parsed.append(parse_delivery(parse_delivery_headers(headers).event, body))
        report = run(forge, lambda client: report_of(client, sample.full_name, opened.number))
    assert {"push", "pull_request"} <= {delivery.event for delivery in parsed}
    reports = [delivery.report for delivery in parsed if delivery.report is not None]
    assert {report.state for report in reports} == {PullRequestState.OPEN, PullRequestState.MERGED}
    assert (report.state, report.checks) == (PullRequestState.MERGED, ChecksState.PASSED)
    untold = dict.fromkeys(("checks", "mergeability", "review_decision", "draft", "base_ref", "base_sha"))
    assert reports[-1] == report.model_copy(update=untold)
    checks = [delivery.checks for delivery in parsed if delivery.checks is not None]
    assert opened.head_sha in {check.head_sha for check in checks}


@pytest.mark.slow
def test_log_of_a_failed_check_is_in_the_prompt(forge: ForgeProcess) -> None:
    async def read(client: GitHubClient) -> tuple[Collection, ...]:
        readings = await collect_repository(client, "demo/ledgerlib")
        return await add_evidence(client, readings, {}, redact=Redactor([forge.token]).redact, timeout_s=20)

    signals = [signal for reading in run(forge, read) for signal in reading.signals]
    (failed,) = [signal for signal in signals if isinstance(signal.details, FailedCheck)]
    assert failed.evidence is not None
    assert failed.evidence.log is not None
    assert failed.evidence.log.step == "Run tests"
    assert failed.evidence.log.text.endswith(
        "ledgerlib.ledger.UnbalancedError: dinner: 9999 debited, 10000 credited\n"
        "##[error]Process completed with exit code 1.\nCleaning up orphan processes"
    )
    assert "Receiving objects: 100%, done." in failed.evidence.log.text
    assert [note.path for note in failed.evidence.annotations] == ["ledgerlib/money.py"]
    (task,) = plan_by_rules(PlanInputs("demo/ledgerlib", signals, "main", ("squire",), (), max_tasks=5)).tasks
    assert failed.evidence.log.text in task.prompt


@pytest.mark.slow
def test_whole_threads_of_a_review_bot_are_read(forge: ForgeProcess) -> None:
    remarks = collect(forge, "demo/webshop")[Source.REVIEW_FINDINGS].signals
    findings = [signal for signal in remarks if signal.verdict is not None and signal.verdict.may_start]
    assert len(findings) == 2
    for signal in findings:
        assert isinstance(signal.details, ReviewFinding)
        assert (signal.details.severity, signal.details.side, signal.details.is_bot) == ("high", "right", True)
        assert signal.evidence is not None
        assert signal.evidence.diff_hunk.startswith("@@ ")
        assert len(signal.evidence.comments) == 1
