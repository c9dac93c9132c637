"""The whole way with the real git over HTTP, the real client and the demo's stand-in for GitHub."""

import asyncio
import contextlib
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.errors import (
    GitHubAuthError,
    GitHubError,
    GitHubNotFoundError,
    GitHubUnavailableError,
    PublishRefusedError,
)
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.home import Home
from squire_pipelines.publishing.api_commit import ApiCommits
from squire_pipelines.publishing.mirror import fetch_mirror
from squire_pipelines.publishing.publish_change import (
    Published,
    Rejected,
    policy_from,
    publish_change,
)
from squire_pipelines.publishing.pull_requests import PullRequests
from squire_pipelines.publishing.push import remote_head
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.publishing.request import PublishRequest
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.sections.tasks import PolicySettings, PublishingSettings
from tests.support.forked import ForkedForge
from tests.support.git_repository import Checkout, git
from tests.support.refused_pushes import refused_push
from tests.support.workshop import BRANCH, Workshop

NEEDS_APPROVAL_LABEL = "squire:needs-approval"
REPOSITORY = "acme/app"
PUSH = r"POST /acme/app\.git/git-receive-pack"
ASKING = TaskSpec(key="k", title="Mend add", prompt="Mend it.", base_branch="main", allow_protected=("Dockerfile",))
OPEN = r"POST /api/v3/repos/acme/app/pulls$"


@pytest.fixture
def forge_workshop(tmp_path: Path, home: Home, upstream: Path) -> Any:
    with ForkedForge.start(tmp_path / "forge", merge_prefix=None) as forge:
        forge.host_repository(
            {"owner": "acme", "name": "app", "path": str(upstream), "default_branch": "main", "private": True}
        )
        mirror = fetch_mirror(home, REPOSITORY, forge.git_url(REPOSITORY), Secret(forge.token))
        agent = Checkout(tmp_path / "agent", upstream)
        base_sha = agent.head()
        agent.git("checkout", "--quiet", "-b", BRANCH)
        yield forge, Workshop(tmp_path, home, upstream, mirror, agent, base_sha)


Pair = tuple[ForgeProcess, Workshop]


def work(workshop: Workshop, name: str = "src/app.py", text: str = "def add(a, b):\n    return a + b\n") -> str:
    workshop.agent.write(name, text)
    head = workshop.agent.commit("Mend add")
    workshop.bundle()
    return head


ONCE = PublishingSettings(tries=1)
PATIENT = PublishingSettings(tries=4, retry_base_s=0.001, retry_cap_s=5)


def publish(
    pair: Pair, *, token: str | None = None, settings: PublishingSettings = ONCE, **more: Any
) -> Published | Rejected:
    forge, workshop = pair
    request = PublishRequest(
        attempt_id="t1-1",
        task_id="t1",
        trace_id="f" * 32,
        queued_at=datetime(2026, 1, 2, tzinfo=UTC),
        repository=REPOSITORY,
        clone_url=forge.git_url(REPOSITORY),
        base_ref="main",
        base_sha=workshop.base_sha,
        branch=workshop.branch,
        bundle=workshop.root / "result.bundle",
        scratch=workshop.root / "scratch",
        spec=TaskSpec(key="k", title="Mend add", prompt="Mend it.", base_branch="main"),
    )

    async def go() -> Published | Rejected:
        async with GitHubClient(
            GitHubSettings(api_url=forge.api_url, min_write_interval_s=0), forge.token, attempts=1
        ) as client:
            return await publish_change(
                replace(request, **more),
                mirror=workshop.mirror,
                pulls=PullRequests(client),
                token=Secret(token or forge.token),
                policy=policy_from(PolicySettings()),
                settings=settings,
                api_commits=ApiCommits(client, REPOSITORY) if settings.commits == "api" else None,
            )

    return asyncio.run(go())


def pull_requests(forge: ForgeProcess) -> list[dict[str, Any]]:
    (repository,) = forge.state()["repositories"]
    pulls: list[dict[str, Any]] = repository["pull_requests"]
    return pulls


@pytest.mark.slow
def test_work_becomes_a_pull_request_once_however_often_it_is_published(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    first = publish(forge_workshop)
    second = publish(forge_workshop)
    assert isinstance(first, Published)
    assert isinstance(second, Published)
    assert (first.created, second.created) == (True, False)
    assert first.pull_request.number == second.pull_request.number
    assert first.pull_request.head_sha == first.head_sha == second.head_sha
    assert len(pull_requests(forge)) == 1


@pytest.mark.slow
def test_a_change_that_needs_approval_becomes_a_labelled_draft(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    work(workshop, "Dockerfile", "FROM scratch\n")
    published = publish(forge_workshop, spec=ASKING)
    assert isinstance(published, Published)
    assert published.pull_request.draft
    assert NEEDS_APPROVAL_LABEL in str(pull_requests(forge)[0]["labels"])


@pytest.mark.slow
def test_a_rejected_change_leaves_no_trace(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    work(workshop, "x.py", "T = '" + "ghp_" + "a1B2" * 9 + "'\n")
    assert isinstance(publish(forge_workshop), Rejected)
    assert pull_requests(forge) == []
    assert remote_head(Remote.parse(forge.git_url(REPOSITORY), Secret(forge.token)), BRANCH) is None


@pytest.mark.slow
def test_a_later_attempt_moves_the_same_pull_request(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    first = publish(forge_workshop)
    assert isinstance(first, Published)
    workshop.agent.git("reset", "--quiet", "--hard", workshop.base_sha)
    work(workshop, "README.md", "# Other\n")
    published = publish(forge_workshop, attempt_id="t1-2", earlier_heads=frozenset({first.head_sha}))
    assert isinstance(published, Published)
    assert (published.created, published.head_sha == first.head_sha) == (False, False)
    (pull,) = pull_requests(forge)
    assert published.head_sha in str(pull)


@pytest.mark.slow
def test_a_push_whose_answer_was_lost_is_not_repeated(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    forge.add_fault(PUSH, status=502, after=True, times=1)
    published = publish(forge_workshop)
    assert isinstance(published, Published)
    assert published.pull_request.head_sha == published.head_sha


@pytest.mark.slow
def test_a_push_that_fails_can_be_tried_again(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    forge.add_fault(PUSH, status=503)
    with pytest.raises(GitHubUnavailableError):
        publish(forge_workshop)
    assert pull_requests(forge) == []
    assert isinstance(publish(forge_workshop), Published)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        refused_push(BRANCH, "Internal Server Error", "Internal Server Error"),
        refused_push(BRANCH, "failure", "fatal error in commit_refs"),
        refused_push(BRANCH, None, "Internal Server Error"),
        {"status": 502},
    ],
    ids=["Internal Server Error", "commit_refs", "failed to report status", "502"],
)
def test_a_push_that_is_refused_in_passing_is_tried_again_at_once(forge_workshop: Pair, fault: dict[str, Any]) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    forge.add_fault(PUSH, times=3, **fault)
    published = publish(forge_workshop, settings=PATIENT)
    assert isinstance(published, Published)
    assert published.created
    assert len(pull_requests(forge)) == 1


@pytest.mark.slow
def test_a_push_that_is_refused_in_passing_for_too_long_is_given_up(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    forge.add_fault(PUSH, times=4, **refused_push(BRANCH, "Internal Server Error", "Internal Server Error"))
    with pytest.raises(GitHubUnavailableError):
        publish(forge_workshop, settings=PATIENT)
    assert isinstance(publish(forge_workshop), Published), "no fault is left: the push was tried four times"


@pytest.mark.slow
def test_a_push_that_a_rule_refuses_is_not_tried_again(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    words = "error: GH013: Repository rule violations found for refs/heads/squire/x."
    forge.add_fault(PUSH, times=1, **refused_push(BRANCH, "push declined due to repository rule violations", words))
    with pytest.raises(PublishRefusedError) as caught:
        publish(forge_workshop, settings=PATIENT)
    assert caught.value.reason == "ruleset"


def unprocessable(**error: str) -> str:
    return json.dumps({"message": "Validation Failed", "errors": [{"resource": "PullRequest", **error}]})


HEAD_INVALID = unprocessable(field="head", code="invalid")
TOO_QUICK = unprocessable(code="custom", message="was submitted too quickly")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 422, "body": HEAD_INVALID},
        {"status": 422, "body": TOO_QUICK, "headers": {"retry-after": "0"}},
        {"status": 502},
        {"status": 502, "after": True},
        {"truncate": True, "status": 201, "after": True},
    ],
    ids=["head invalid", "too quickly", "502", "502 after it was made", "an answer that breaks off"],
)
def test_a_pull_request_that_is_refused_in_passing_is_opened_once(forge_workshop: Pair, fault: dict[str, Any]) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    forge.add_fault(OPEN, **fault)
    published = publish(forge_workshop, settings=PATIENT)
    assert isinstance(published, Published)
    assert published.created, "reviewers are asked for it all the same"
    (pull,) = pull_requests(forge)
    assert (pull["number"], pull["head_sha"]) == (published.pull_request.number, published.head_sha)


@pytest.mark.slow
def test_a_forks_pull_request_with_our_branchs_name_is_not_taken_for_ours(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    fork_head = workshop.agent.commit("Another change")
    address = forge.git_url(REPOSITORY).replace("://", f"://x:{forge.token}@")
    workshop.agent.git("push", "--quiet", address, "HEAD:refs/heads/theirs")
    workshop.agent.git("reset", "--quiet", "--hard", workshop.base_sha)
    work(workshop)
    fork = {"repository": "acme/app-copy", "branch": BRANCH, "sha": fork_head}
    forge.act_as(REPOSITORY, "mallory", title="Mend add", fork=fork)
    published = publish(forge_workshop, settings=PATIENT)
    assert isinstance(published, Published)
    of_fork, own = pull_requests(forge)
    assert published.created
    assert published.pull_request.number == own["number"] != of_fork["number"]


@pytest.mark.slow
def test_a_pull_request_whose_answer_was_lost_is_found_again(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    forge.add_fault(OPEN, status=502, after=True)
    with pytest.raises(GitHubError):
        publish(forge_workshop)
    published = publish(forge_workshop)
    assert isinstance(published, Published)
    assert not published.created
    assert len(pull_requests(forge)) == 1


@pytest.mark.slow
def test_a_wrong_token_is_named_and_shown_nowhere(forge_workshop: Pair) -> None:
    _, workshop = forge_workshop
    work(workshop)
    wrong = "ghp_" + "w1X2" * 9
    with pytest.raises(GitHubAuthError) as caught:
        publish(forge_workshop, token=wrong)
    assert wrong not in str(caught.value)
    assert wrong not in str(dict(caught.value.context))


@pytest.mark.slow
def test_a_private_repository_is_fetched_with_the_token_only(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    with pytest.raises((GitHubAuthError, GitHubNotFoundError)):
        fetch_mirror(workshop.home, REPOSITORY, forge.git_url(REPOSITORY), None)
    with pytest.raises((GitHubAuthError, GitHubNotFoundError)):
        fetch_mirror(workshop.home, "acme/none", forge.git_url("acme/none"), Secret(forge.token))
    for file in workshop.home.cache.rglob("*"):
        assert not file.is_file() or forge.token.encode() not in file.read_bytes()


@pytest.mark.slow
def test_while_git_fetches_and_pushes_no_process_shows_the_token(forge_workshop: Pair, home: Home) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    shown: list[str] = []
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for entry in Path("/proc").iterdir():
                if not entry.name.isdigit():
                    continue
                with contextlib.suppress(OSError):
                    argv = (entry / "cmdline").read_bytes()
                    words = argv.split(b"\0")
                    if words[0] == b"git":
                        seen.update({"fetch", "push"} & {word.decode(errors="replace") for word in words})
                    if forge.token.encode() in argv + (entry / "environ").read_bytes():
                        shown.append(argv.decode(errors="replace"))
            over.wait(0.005)

    forge.add_fault(r"GET /acme/app\.git/info/refs", delay_s=0.5)
    forge.add_fault(PUSH, delay_s=0.5)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        fetch_mirror(home, REPOSITORY, forge.git_url(REPOSITORY), Secret(forge.token))
        publish(forge_workshop)
    finally:
        over.set()
        watcher.join()
    assert seen == {"fetch", "push"}
    assert shown == []
    config = "".join(file.read_text() for file in workshop.mirror.path.rglob("config"))
    assert forge.token not in config
    assert "[remote" not in config
    assert "url" not in config


BY_API = PublishingSettings(tries=1, commits="api")


@pytest.mark.slow
def test_a_commit_of_the_api_has_each_mode_and_byte_and_is_made_once(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    agent = workshop.agent
    agent.write("src/app.py", "def add(a, b):\n    return a + b\n")
    agent.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    agent.write("empty.txt", "")
    agent.write("docs/gr\u00fc\u00dfe.md", ("Gr\u00fc\u00dfe " * 60 + "\r\n") * 300)
    agent.write("logo.png", b"\x89PNG\r\n\x00\xff")
    (agent.path / "link").symlink_to("src/app.py")
    (agent.path / "README.md").unlink()
    head = agent.commit("Mend add")
    workshop.bundle()
    published = publish(forge_workshop, settings=BY_API)
    assert isinstance(published, Published)
    scratch = workshop.root / "scratch" / "repository.git"
    ours = git(scratch, "cat-file", "-p", published.head_sha)
    assert git(scratch, "rev-parse", f"{published.head_sha}^{{tree}}") == git(
        agent.path, "rev-parse", f"{head}^{{tree}}"
    )
    assert git(scratch, "rev-parse", f"{published.head_sha}^") == workshop.base_sha
    assert "author squire[bot]" not in ours
    assert "under the trace id" in ours
    (pull,) = pull_requests(forge)
    assert pull["head_sha"] == published.head_sha
    assert publish(forge_workshop, settings=BY_API) == replace(published, created=False)
    assert len(pull_requests(forge)) == 1


@pytest.mark.slow
def test_what_people_pushed_is_not_replaced_by_a_commit_of_the_api(forge_workshop: Pair) -> None:
    forge, workshop = forge_workshop
    work(workshop)
    first = publish(forge_workshop, settings=BY_API)
    assert isinstance(first, Published)
    with pytest.raises(PublishRefusedError) as refused:
        publish(forge_workshop, settings=BY_API, attempt_id="t1-2")
    assert refused.value.reason == "branch_taken"
    again = publish(forge_workshop, settings=BY_API, attempt_id="t1-2", earlier_heads=frozenset({first.head_sha}))
    assert isinstance(again, Published)
    assert (again.pull_request.number, again.head_sha == first.head_sha) == (first.pull_request.number, False)
    assert [pull["head_sha"] for pull in pull_requests(forge)] == [again.head_sha]
