import asyncio
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.domain.canary import canary_for
from squire_pipelines.domain.change import Decision
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.domain.verification import ReportedCheck, VerificationReport
from squire_pipelines.errors import (
    BundleError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubValidationError,
    PublishRefusedError,
)
from squire_pipelines.publishing.diff import MAX_DIFF_BYTES
from squire_pipelines.publishing.mirror import fetch_mirror
from squire_pipelines.publishing.publication_steps import PublicationStep
from squire_pipelines.publishing.publish_change import (
    Published,
    Rejected,
    policy_from,
    publish_change,
    style_from,
)
from squire_pipelines.publishing.push import push_head, remote_head
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.publishing.request import PublishRequest
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.tasks import PolicySettings, PublishingSettings
from tests.support.fake_pulls import FakePulls
from tests.support.forked import run
from tests.support.git_repository import Checkout, git
from tests.support.workshop import Workshop

ROOT = Path(__file__).parents[3]
ARCHIVED = "Repository was archived so is read-only."
POLICY = policy_from(PolicySettings())
NEEDS_APPROVAL_LABEL = "squire:needs-approval"
# The steps before and after them leave nothing outside of the scratch folder.
OUTSIDE = (PublicationStep.PUSHING, PublicationStep.PUSHED, PublicationStep.OPENED)
ASKING = TaskSpec(
    key="k", title="Mend add", prompt="Mend it.", base_branch="main", allow_protected=("Dockerfile", ".github/**")
)


@pytest.fixture
def pulls(workshop: Workshop) -> FakePulls:
    return FakePulls(workshop.root / "pulls.json", lambda branch: git(workshop.upstream, "rev-parse", branch))


def request(workshop: Workshop, **more: Any) -> PublishRequest:
    return workshop.request(**more)


def publish(
    workshop: Workshop, pulls: FakePulls, publish_request: PublishRequest | None = None, **more: Any
) -> Published | Rejected:
    arguments: dict[str, Any] = {"mirror": workshop.mirror, "pulls": pulls, "token": None, "policy": POLICY, **more}
    return asyncio.run(publish_change(publish_request or request(workshop), **arguments))


def work(workshop: Workshop, content: str = "def add(a, b):\n    return a + b\n") -> str:
    workshop.agent.write("src/app.py", content)
    head = workshop.agent.commit("Mend add")
    workshop.bundle()
    return head


def content(workshop: Workshop, commit: str) -> str:
    """The commit's tree, whoever has it."""
    folder = workshop.upstream if commit == there(workshop) else workshop.agent.path
    return git(folder, "rev-parse", f"{commit}^{{tree}}")


def there(workshop: Workshop, branch: str | None = None) -> str | None:
    return remote_head(Remote.parse(str(workshop.upstream)), branch or workshop.branch)


@pytest.mark.slow
def test_a_pull_request_is_titled_as_the_repositorys_history_is(workshop: Workshop, pulls: FakePulls) -> None:
    for number in range(5):
        workshop.agent.write("src/app.py", f"x = {number}\n")
        workshop.agent.git("commit", "--quiet", "--all", "--author", "Ann <ann@example.org>", "-m", f"fix: go {number}")
    workshop.base_sha = workshop.agent.head()
    workshop.agent.git("push", "--quiet", "origin", "HEAD:main")
    workshop.fetch()
    work(workshop)
    own = request(workshop, style=style_from(PublishingSettings()))
    published = publish(workshop, pulls, own)
    assert isinstance(published, Published)
    assert [pull["title"] for pull in pulls.all] == ["chore: mend add"]
    assert git(workshop.upstream, "log", "-1", "--format=%s", published.head_sha) == "chore: mend add"
    publish(workshop, pulls, own)
    assert len(pulls.all) == 1


@pytest.mark.slow
def test_sound_work_becomes_a_pull_request(workshop: Workshop, pulls: FakePulls) -> None:
    head = work(workshop)
    steps: list[tuple[PublicationStep, str]] = []
    published = publish(workshop, pulls, on_step=lambda step, detail: steps.append((step, detail)))
    assert isinstance(published, Published)
    ours = published.head_sha
    assert (published.created, published.verdict.decision, there(workshop)) == (True, Decision.ALLOW, ours)
    assert content(workshop, ours) == content(workshop, head)
    (pull,) = pulls.all
    assert (pull["title"], pull["ref"]["base"], pull["ref"]["draft"], pull["labels"]) == ("Mend add", "main", False, [])
    assert f"Trace id: `{'f' * 32}`" in pull["body"]
    url = published.pull_request.url
    assert steps == [
        (PublicationStep.VERIFIED, head),
        (PublicationStep.JUDGED, "allow"),
        (PublicationStep.PUSHING, ours),
        (PublicationStep.PUSHED, ours),
        (PublicationStep.OPENED, url),
        (PublicationStep.DONE, url),
    ]
    assert git(workshop.upstream, "for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/main",
        f"refs/heads/{workshop.branch}",
    ]


@pytest.mark.slow
def test_what_is_published_is_one_commit_of_ours_whatever_the_agent_called_its_own(
    workshop: Workshop, pulls: FakePulls
) -> None:
    agent = workshop.agent
    agent.write("src/app.py", "x = 1\n")
    agent.git("add", "--all")
    forged = ["--author", "The CEO <ceo@example.org>", "--date", "1999-01-01T00:00:00Z"]
    body = (
        "Fixes #9, cc @octocat\n\nCo-authored-by: The CEO <ceo@example.org>\nSigned-off-by: x <x@x>\nskip-checks: true"
    )
    agent.git("commit", "--quiet", *forged, "-m", "Mend \u202e\x1b[2J it [skip ci]", "-m", body)
    agent.git("checkout", "--quiet", "-b", "side", "HEAD^")
    agent.write("side.py", "y = 1\n")
    agent.commit("Side ***NO_CI***")
    agent.git("checkout", "--quiet", workshop.branch)
    agent.git("merge", "--quiet", "-m", "Merge @octocat", "side")
    workshop.bundle()
    spec = ASKING.model_copy(update={"title": "Fix #3 @octocat [skip ci]\n\nCo-authored-by: x <x@x>"})
    published = publish(workshop, pulls, request(workshop, spec=spec, bot_name="bot", bot_email="bot@example.org"))
    assert isinstance(published, Published)
    raw = git(workshop.upstream, "cat-file", "commit", published.head_sha)
    tree, _, rest = raw.partition("\n")
    assert tree == f"tree {git(agent.path, 'rev-parse', 'HEAD^{tree}')}"
    assert rest.splitlines() == [
        f"parent {workshop.base_sha}",
        "author bot <bot@example.org> 1767312000 +0000",
        "committer bot <bot@example.org> 1767312000 +0000",
        "",
        "Fix 3 octocat skip ci Co-authored-by: x x x",
        "",
        f"Made by task t1, attempt t1-1, under the trace id {'f' * 32}.",
    ]
    objects = git(workshop.upstream, "rev-list", "--objects", published.head_sha, f"^{workshop.base_sha}")
    assert agent.head() not in objects
    text = f"{pulls.all[0]['title']}\n{pulls.all[0]['body']}"
    assert "Merge @\u200boctocat" in text
    for active in ("[skip ci]", "***NO_CI", "@octocat", "#3", "Co-authored-by", "\x1b", "\u202e"):
        assert active not in text


@pytest.mark.slow
def test_publishing_again_changes_nothing(workshop: Workshop, pulls: FakePulls) -> None:
    work(workshop)
    first = publish(workshop, pulls)
    second = publish(workshop, pulls)
    assert isinstance(first, Published)
    assert isinstance(second, Published)
    assert (second.pull_request, second.created) == (first.pull_request, False)
    assert len(pulls.all) == 1


@pytest.mark.slow
def test_a_rejected_change_is_neither_pushed_nor_opened(workshop: Workshop, pulls: FakePulls) -> None:
    work(workshop, "TOKEN = '" + "ghp_" + "a1B2" * 9 + "'\n")
    rejected = publish(workshop, pulls)
    assert isinstance(rejected, Rejected)
    assert [(f.rule, f.path, f.line) for f in rejected.verdict.findings] == [("secret", "src/app.py", 1)]
    assert there(workshop) is None
    assert pulls.all == []


@pytest.mark.slow
def test_known_secrets_and_the_token_itself_are_looked_for(workshop: Workshop, pulls: FakePulls) -> None:
    work(workshop, "x = 'correct horse battery'\n")
    assert isinstance(publish(workshop, pulls, known_secrets=[Secret("correct horse battery")]), Rejected)
    assert isinstance(publish(workshop, pulls, token=Secret("correct horse")), Rejected)


def test_a_secret_in_a_commit_on_the_way_is_rejected(workshop: Workshop, pulls: FakePulls) -> None:
    workshop.agent.write("leak", "correct horse battery")
    workshop.agent.commit("Leak")
    (workshop.agent.path / "leak").unlink()
    work(workshop)
    assert isinstance(publish(workshop, pulls, known_secrets=[Secret("correct horse battery")]), Rejected)
    assert there(workshop) is None


@pytest.mark.slow
@pytest.mark.parametrize("error", [None, GitHubValidationError("Reviews may only be requested from collaborators")])
def test_labels_are_set_and_reviewers_asked_and_a_refusal_loses_no_work(
    workshop: Workshop, pulls: FakePulls, error: GitHubValidationError | None
) -> None:
    work(workshop)
    settings = PublishingSettings(labels=("agent",), reviewers=("octocat",))
    original = pulls.create

    async def create(repository: str, **more: Any) -> Any:
        made = await original(repository, **more)
        pulls.errors = [error] if error else []
        return made

    pulls.create = create  # type: ignore[method-assign]
    published = publish(workshop, pulls, settings=settings)
    assert isinstance(published, Published)
    assert pulls.all[0]["labels"] == ["agent"]
    assert pulls.all[0].get("reviewers") == (None if error else ["octocat"])
    assert publish(workshop, pulls, settings=settings) == replace(published, created=False)


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "closes"), [({}, (3, 7)), ({"milestone": False}, (3, 7)), ({}, ())])
def test_a_new_pull_request_takes_the_milestone_of_what_it_closes_over(
    workshop: Workshop, pulls: FakePulls, settings: dict[str, Any], closes: tuple[int, ...]
) -> None:
    work(workshop)
    publish(workshop, pulls, request(workshop, closes=closes), settings=PublishingSettings(**settings))
    assert pulls.all[0].get("milestone_of") == ([3, 7] if closes and not settings else None)


@pytest.mark.slow
def test_a_change_that_needs_approval_becomes_a_labelled_draft(workshop: Workshop, pulls: FakePulls) -> None:
    workshop.agent.write("Dockerfile", "FROM scratch\n")
    work(workshop)
    assert isinstance(publish(workshop, pulls), Rejected)
    published = publish(workshop, pulls, request(workshop, spec=ASKING))
    assert isinstance(published, Published)
    assert published.pull_request.draft
    (pull,) = pulls.all
    assert pull["labels"] == [NEEDS_APPROVAL_LABEL]
    assert "(`protected_path`)" in pull["body"]
    assert "A person has to approve this change" in pull["body"]


@pytest.mark.slow
def test_a_repository_without_drafts_gets_a_labelled_pull_request(workshop: Workshop, pulls: FakePulls) -> None:
    workshop.agent.write("Dockerfile", "FROM scratch\n")
    work(workshop)
    pulls.errors = [GitHubValidationError("Draft pull requests are not supported in this repository.")]
    published = publish(workshop, pulls, request(workshop, spec=ASKING))
    assert isinstance(published, Published)
    assert not published.pull_request.draft
    assert pulls.all[0]["labels"] == [NEEDS_APPROVAL_LABEL]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GitHubValidationError("No commits between main and x"), "validation"),
        (GitHubPermissionError("Resource not accessible by personal access token"), "permission"),
        (GitHubPermissionError("403: archived", context={"message": ARCHIVED}), "archived"),
        (GitHubPermissionError(f"refused: the branch {ARCHIVED}", context={"message": "No."}), "permission"),
    ],
)
def test_refusals_of_the_pull_request_are_named(
    workshop: Workshop, pulls: FakePulls, error: Exception, reason: str
) -> None:
    work(workshop)
    pulls.errors = [error]
    with pytest.raises(PublishRefusedError) as caught:
        publish(workshop, pulls)
    assert (caught.value.reason, caught.value.context["reason"]) == (reason, reason)
    assert str(error) in caught.value.message
    assert (workshop.root / "result.bundle").is_file()


@pytest.mark.slow
def test_a_workflow_is_pushed_only_when_it_was_asked_for_and_the_settings_permit_it(
    workshop: Workshop, pulls: FakePulls
) -> None:
    workshop.agent.write(".github/workflows/ci.yml", "on: push\n")
    work(workshop)
    permitting = policy_from(PolicySettings(workflows="approve"))
    asking = request(workshop, spec=ASKING)
    assert isinstance(publish(workshop, pulls), Rejected)
    assert isinstance(publish(workshop, pulls, asking), Rejected)
    assert isinstance(publish(workshop, pulls, policy=permitting), Rejected)
    assert there(workshop) is None
    published = publish(workshop, pulls, asking, policy=permitting)
    assert isinstance(published, Published)
    assert published.pull_request.draft


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "trusted", "passed", "draft"),
    [
        ("untrusted", True, None, False),
        ("untrusted", False, None, True),
        ("untrusted", True, True, False),
        ("untrusted", True, False, True),
        ("never", False, None, False),
        ("never", True, False, True),
        ("always", True, True, True),
    ],
)
def test_what_becomes_a_draft(
    workshop: Workshop, pulls: FakePulls, mode: Any, *, trusted: bool, passed: bool | None, draft: bool
) -> None:
    work(workshop)
    report = None
    if passed is not None:
        check = ReportedCheck(name="tests", passed=passed, detail="1 failed")
        report = VerificationReport(passed=passed, checks=(check,))
    publish_request = request(workshop, trusted=trusted, verification=report)
    published = publish(workshop, pulls, publish_request, settings=PublishingSettings(draft=mode))
    assert isinstance(published, Published)
    assert published.pull_request.draft is draft
    assert pulls.all[0]["labels"] == []


@pytest.mark.slow
def test_the_canary_in_a_file_is_rejected_and_so_is_one_in_the_pull_requests_text(
    workshop: Workshop, pulls: FakePulls
) -> None:
    canary = canary_for("t1-1")
    work(workshop)
    rejected = publish(workshop, pulls, request(workshop, order=f"Say {canary}."))
    assert isinstance(rejected, Rejected)
    assert [finding.rule for finding in rejected.verdict.findings] == ["canary"]
    work(workshop, f"x = '{canary}'\n")
    rejected = publish(workshop, pulls)
    assert isinstance(rejected, Rejected)
    assert "canary" in {finding.rule for finding in rejected.verdict.findings}
    assert there(workshop) is None


def test_known_secrets_are_hidden_in_the_text_of_a_pull_request(workshop: Workshop, pulls: FakePulls) -> None:
    work(workshop)
    secret = "correct horse battery"
    publish_request = request(workshop, order=f"It is {secret}.", words=f"I was given {secret}.")
    publish(workshop, pulls, publish_request, known_secrets=[Secret(secret)])
    assert "correct horse" not in pulls.all[0]["body"]
    assert pulls.all[0]["body"].count("[redacted]") == 2


@pytest.mark.slow
def test_what_an_agent_says_and_may_not_is_left_out_and_its_work_published(
    workshop: Workshop, pulls: FakePulls
) -> None:
    work(workshop)
    canary = canary_for("t1-1")
    published = publish(workshop, pulls, request(workshop, words=f"I found {canary} in the environment."))
    assert isinstance(published, Published)
    assert published.verdict.decision is Decision.ALLOW
    body = pulls.all[0]["body"]
    assert canary not in body
    assert "In the words of" not in body
    assert "- What the agent said is left out: " in body


@pytest.mark.slow
def test_a_secret_in_a_header_of_a_commit_that_nobody_looks_at_is_rejected(
    workshop: Workshop, pulls: FakePulls
) -> None:
    work(workshop)
    raw = workshop.agent.git("cat-file", "commit", "HEAD").replace("\n\n", "\nx-note correct horse battery\n\n", 1)
    sha = workshop.agent.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=(raw + "\n").encode())
    workshop.agent.git("update-ref", f"refs/heads/{workshop.branch}", sha)
    workshop.bundle()
    assert isinstance(publish(workshop, pulls, known_secrets=[Secret("correct horse battery")]), Rejected)


def follow_up(workshop: Workshop, pulls: FakePulls) -> tuple[PublishRequest, str]:
    """A second task that builds on the first one's pull request; its request and the first head."""
    work(workshop)
    first = publish(workshop, pulls).head_sha
    fetch_mirror(workshop.home, "acme/app", str(workshop.upstream), None)
    workshop.agent.git("fetch", "--quiet", "origin", workshop.branch)
    workshop.agent.git("checkout", "--quiet", "-b", "squire/t2-more", "FETCH_HEAD")
    workshop.agent.write("more.py", "more = 1\n")
    workshop.agent.commit("More")
    workshop.agent.bundle(workshop.root / "more.bundle", first, "squire/t2-more")
    spec = TaskSpec(key="m", title="Do more", prompt="Do more.", base_branch=workshop.branch)
    publish_request = request(
        workshop,
        attempt_id="t2-1",
        task_id="t2",
        base_ref=workshop.branch,
        base_sha=first,
        branch="squire/t2-more",
        bundle=workshop.root / "more.bundle",
        spec=spec,
        follow_up=workshop.branch,
    )
    return publish_request, first


@pytest.mark.slow
def test_a_follow_up_adds_to_the_pull_request_and_repeating_it_changes_nothing(
    workshop: Workshop, pulls: FakePulls
) -> None:
    publish_request, first = follow_up(workshop, pulls)
    for _ in range(2):
        published = publish(workshop, pulls, publish_request)
        assert isinstance(published, Published)
        assert (published.created, published.pull_request.number) == (False, 1)
    head = there(workshop)
    assert head == published.head_sha
    assert git(workshop.upstream, "rev-parse", f"{head}^") == first
    assert there(workshop, "squire/t2-more") is None
    (pull,) = pulls.all
    assert pull["title"] == "Mend add"
    assert pull["body"].count("## Follow-up: Do more") == 1
    assert "Task: `t1`" in pull["body"]
    assert "Task: `t2`" in pull["body"]


@pytest.mark.slow
def test_a_follow_up_never_overwrites(workshop: Workshop, pulls: FakePulls) -> None:
    publish_request, first = follow_up(workshop, pulls)
    person = Checkout(workshop.root / "person", workshop.upstream)
    person.git("checkout", "--quiet", workshop.branch)
    person.write("theirs.py", "1\n")
    persons_commit = person.commit("By hand")
    person.git("push", "--quiet", "origin", workshop.branch)
    with pytest.raises(PublishRefusedError) as caught:
        publish(workshop, pulls, replace(publish_request, earlier_heads=frozenset({persons_commit, first})))
    assert caught.value.reason == "branch_taken"
    assert there(workshop) == persons_commit


@pytest.mark.slow
@pytest.mark.parametrize("state", ["closed", "merged"])
def test_a_follow_up_of_a_finished_pull_request_is_refused(workshop: Workshop, pulls: FakePulls, state: str) -> None:
    publish_request, first = follow_up(workshop, pulls)
    pulls.set_state(1, state)
    with pytest.raises(PublishRefusedError, match=f"is {state}"):
        publish(workshop, pulls, publish_request)
    assert there(workshop) == first


@pytest.mark.slow
def test_a_follow_up_that_needs_approval_holds_the_whole_pull_request(workshop: Workshop, pulls: FakePulls) -> None:
    publish_request, _ = follow_up(workshop, pulls)
    workshop.agent.write("Dockerfile", "FROM scratch\n")
    workshop.agent.commit("Box")
    workshop.agent.bundle(workshop.root / "more.bundle", publish_request.base_sha, "squire/t2-more")
    published = publish(workshop, pulls, replace(publish_request, spec=ASKING))
    assert isinstance(published, Published)
    (pull,) = pulls.all
    assert (pull["ref"]["draft"], pull["labels"]) == (True, [NEEDS_APPROVAL_LABEL])


def test_a_bad_bundle_is_told_before_anything_else(workshop: Workshop, pulls: FakePulls) -> None:
    work(workshop)
    (workshop.root / "result.bundle").write_bytes(b"# v2 git bundle\n")
    with pytest.raises(BundleError):
        publish(workshop, pulls)


def second_attempt(workshop: Workshop) -> str:
    """Other work on the same base, which does not build on the first attempt's."""
    workshop.agent.git("reset", "--quiet", "--hard", workshop.base_sha)
    return work(workshop, "def add(a, b):\n    return b + a\n")


@pytest.mark.slow
def test_a_later_attempt_replaces_the_head_that_the_ledger_knows(workshop: Workshop, pulls: FakePulls) -> None:
    work(workshop)
    first = publish(workshop, pulls)
    second = second_attempt(workshop)
    earlier = frozenset({first.head_sha})
    published = publish(workshop, pulls, request(workshop, attempt_id="t1-2", earlier_heads=earlier))
    assert isinstance(published, Published)
    assert (published.head_sha, published.created, published.pull_request.number) == (there(workshop), False, 1)
    assert content(workshop, published.head_sha) == content(workshop, second)
    assert "Attempt: `t1-2`" in pulls.all[0]["body"]


@pytest.mark.slow
def test_somebody_elses_commit_on_the_branch_is_never_lost(workshop: Workshop, pulls: FakePulls) -> None:
    work(workshop)
    first = publish(workshop, pulls).head_sha
    person = Checkout(workshop.root / "person", workshop.upstream)
    person.git("checkout", "--quiet", workshop.branch)
    person.write("src/app.py", "by hand\n")
    persons_commit = person.commit("By hand")
    person.git("push", "--quiet", "origin", workshop.branch)
    second_attempt(workshop)
    with pytest.raises(PublishRefusedError, match=f"is at {persons_commit}"):
        publish(workshop, pulls, request(workshop, earlier_heads=frozenset({first})))
    assert there(workshop) == persons_commit


@pytest.mark.slow
@pytest.mark.parametrize("state", ["closed", "merged"])
def test_a_finished_pull_request_at_our_head_is_the_answer(workshop: Workshop, pulls: FakePulls, state: str) -> None:
    work(workshop)
    publish(workshop, pulls)
    pulls.set_state(1, state)
    git(workshop.upstream, "update-ref", "-d", f"refs/heads/{workshop.branch}")
    published = publish(workshop, pulls)
    assert isinstance(published, Published)
    assert (published.pull_request.state, published.created) == (state, False)
    assert there(workshop) is None


@pytest.mark.slow
def test_after_a_closed_pull_request_new_work_gets_a_new_one(workshop: Workshop, pulls: FakePulls) -> None:
    work(workshop)
    first = publish(workshop, pulls).head_sha
    pulls.set_state(1, "closed")
    second_attempt(workshop)
    published = publish(workshop, pulls, request(workshop, earlier_heads=frozenset({first})))
    assert isinstance(published, Published)
    assert (published.pull_request.number, published.created) == (2, True)


def test_a_branch_of_which_ours_is_only_the_tail_is_another(workshop: Workshop) -> None:
    work(workshop)
    git(workshop.upstream, "update-ref", f"refs/heads/refs/heads/{workshop.branch}", workshop.base_sha)
    assert there(workshop) is None


@pytest.mark.slow
def test_a_rule_of_the_repository_that_refuses_the_push_is_told(workshop: Workshop, pulls: FakePulls) -> None:
    work(workshop)
    hook = workshop.upstream / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'GH013: Repository rule violations found' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PublishRefusedError) as caught:
        publish(workshop, pulls)
    assert "GH013" in str(caught.value.context["last_lines"])
    assert pulls.all == []


def test_a_repository_that_has_gone_is_told(workshop: Workshop, pulls: FakePulls) -> None:
    work(workshop)
    workshop.upstream.rename(workshop.root / "gone")
    with pytest.raises(GitHubNotFoundError):
        publish(workshop, pulls)


def _hook(workshop: Workshop, script: str) -> None:
    hook = workshop.upstream / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


def test_a_push_that_was_taken_although_it_failed_counts(workshop: Workshop) -> None:
    head = work(workshop)
    change = workshop.verify()
    # The server takes the push by itself and then breaks off, as when the connection dies before its answer.
    _hook(workshop, 'unset GIT_QUARANTINE_PATH; git unpack-objects </dev/null; git update-ref "$1" "$3"; exit 1')
    remote = Remote.parse(str(workshop.upstream))
    objects = workshop.upstream / "objects"
    git(workshop.upstream, "fetch", "--quiet", str(change.git_dir), head)
    assert objects.exists()
    assert push_head(change.git_dir, remote, branch=workshop.branch, head_sha=head)
    assert there(workshop) == head


def test_whoever_pushes_in_between_wins(workshop: Workshop) -> None:
    head = work(workshop)
    change = workshop.verify()
    _hook(workshop, 'git update-ref "$1" "$(git rev-parse refs/heads/main)"')
    with pytest.raises(PublishRefusedError):
        push_head(change.git_dir, Remote.parse(str(workshop.upstream)), branch=workshop.branch, head_sha=head)
    assert there(workshop) == workshop.base_sha


def _child(workshop: Workshop, step: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    arguments = {
        "upstream": str(workshop.upstream),
        "pulls": str(workshop.root / "pulls.json"),
        "base_sha": workshop.base_sha,
        "branch": workshop.branch,
        "bundle": str(workshop.root / "result.bundle"),
        "scratch": str(workshop.root / "scratch"),
        "mirror": str(workshop.mirror.path),
    } | changes
    return run(["-m", "tests.support.publish_child", json.dumps(arguments), step], cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("step", [*PublicationStep, "created"])
def test_a_kill_at_any_step_ends_in_one_pull_request(workshop: Workshop, pulls: FakePulls, step: str) -> None:
    workshop.agent.write("Dockerfile", "FROM scratch\n")
    head = work(workshop)
    killed = _child(workshop, step)
    assert killed.returncode == -9, killed.stderr
    again = _child(workshop, "")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["number"] == 1
    (pull,) = pulls.all
    assert (pull["labels"], pull["ref"]["draft"]) == ([NEEDS_APPROVAL_LABEL], True)
    published = there(workshop)
    assert published is not None
    assert content(workshop, published) == content(workshop, head)


@pytest.mark.slow
@pytest.mark.parametrize("step", [*OUTSIDE, "updated"])
def test_a_kill_at_a_step_of_a_follow_up_that_shows_outside_adds_it_once(
    workshop: Workshop, pulls: FakePulls, step: str
) -> None:
    publish_request, _ = follow_up(workshop, pulls)
    changes = {
        "base_sha": publish_request.base_sha,
        "branch": publish_request.branch,
        "bundle": str(publish_request.bundle),
        "follow_up": publish_request.follow_up,
    }
    killed = _child(workshop, step, **changes)
    assert killed.returncode == -9, killed.stderr
    again = _child(workshop, "", **changes)
    assert again.returncode == 0, again.stderr
    (pull,) = pulls.all
    assert pull["body"].count("## Follow-up") == 1
    published = there(workshop)
    assert published is not None
    assert content(workshop, published) == content(
        workshop, git(workshop.agent.path, "rev-parse", publish_request.branch)
    )
    assert git(workshop.upstream, "rev-parse", f"{published}^") == publish_request.base_sha


@pytest.mark.slow
def test_no_token_is_in_what_is_left_on_the_disk(workshop: Workshop, pulls: FakePulls, tmp_path: Path) -> None:
    token = "ghp_" + "z9Y8" * 9
    work(workshop)
    publish(workshop, pulls, token=Secret(token))
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_nothing_runs_while_publishing(workshop: Workshop, pulls: FakePulls, sentinel: Callable[[], bool]) -> None:
    script = f"#!/bin/sh\ntouch {workshop.root / 'ran'}\n"
    workshop.agent.write("evil.sh", script).chmod(0o755)
    workshop.agent.write(".gitattributes", "* filter=evil diff=evil\n")
    workshop.agent.write(".lfsconfig", "[lfs]\n\turl = https://evil.example\n")
    work(workshop)
    publish(workshop, pulls)
    assert not sentinel()


def test_what_a_change_does_is_kept_for_people_also_when_it_is_refused(workshop: Workshop, pulls: FakePulls) -> None:
    kept = workshop.root / "change.diff"
    work(workshop)
    assert isinstance(publish(workshop, pulls, request(workshop, diff=kept)), Published)
    assert "+    return a + b\n" in kept.read_text()
    work(workshop, "# long\n" * MAX_DIFF_BYTES)
    publish(workshop, pulls, request(workshop, diff=kept), policy=replace(POLICY, max_changed_lines=10))
    assert len(kept.read_bytes()) == MAX_DIFF_BYTES + 1
    kept.unlink()
    kept.mkdir()  # it cannot be written, and nothing depends on it
    refused = publish(workshop, pulls, request(workshop, diff=kept), policy=replace(POLICY, max_changed_lines=10))
    assert isinstance(refused, Rejected)
