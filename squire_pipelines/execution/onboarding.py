"""Asks a repository for its consent by a pull request that adds `.github/squire.toml`, and follows the answer.

Nothing is started in a repository that was asked until the pull request is merged; a closed one is a no. Every step can
be repeated: the question is recorded before anything is pushed, the commit is the same at each call, and an open pull
request is found and returned.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from squire_pipelines.domain.branches import OWN_BRANCHES
from squire_pipelines.domain.onboarding import OnboardingState
from squire_pipelines.domain.presets import PresetPlace
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.errors import GitHubError, RefusedError
from squire_pipelines.execution.repository_reading import foresee
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import RepositoryInfo, repository_info
from squire_pipelines.github.pulls import PullRequestRef, create_pull_request, find_pull_request
from squire_pipelines.github.repository_file import read_file
from squire_pipelines.ledger import onboardings
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.selection import PlanInputs
from squire_pipelines.publishing.author import commit_author
from squire_pipelines.publishing.escaping import escape_markdown
from squire_pipelines.publishing.git import run_git
from squire_pipelines.publishing.mirror import Mirror, fetch_mirror
from squire_pipelines.publishing.push import push_head
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.repository_files.parsing import REPOSITORY_FILE
from squire_pipelines.repository_files.template import proposed_file
from squire_pipelines.secrets import Secret
from squire_pipelines.settings.model import Settings

BRANCH = "onboarding"
"""Of the pull request that asks, behind the prefix of Squire's branches."""
TITLE = "Let Squire work in this repository"
_INTRODUCTION = f"""\
Squire collects failed checks, review remarks and chosen issues, has coding agents work on them in sandboxed \
containers, and opens pull requests.

**To merge this is a yes**: Squire then works here, within `{REPOSITORY_FILE}`, which can be changed at any time. \
**To close it is a no**: nothing is started, and nobody is asked again without a person's order."""
_MAX_TASKS = 50
_UNKNOWN = "is being opened"
_log = get_logger(Component.PUBLISHER)


@dataclass(frozen=True, slots=True)
class Proposal:
    """The pull request that asks, and how many tasks it shows; `created` is False when it was there already."""

    pull_request: PullRequestRef
    created: bool
    tasks: int = 0


@dataclass(frozen=True, slots=True)
class OnboardingContext:
    """What a repository is asked with.

    Args:
        client: Asks GitHub.
        ledger: Keeps what was asked.
        settings: The operator's.
        token: For the push.
        actor: Who asks.
        trace_id: Of the command.
    """

    client: GitHubClient
    ledger: Ledger
    settings: Settings
    token: Secret | None
    actor: str
    trace_id: str

    def record(self, repository: str, state: OnboardingState, pull: PullRequestRef | None) -> None:
        """Record the question, or the answer; without a pull request that one is being opened."""
        number, url = (pull.number, pull.url) if pull is not None else (0, _UNKNOWN)
        with self.ledger.write() as tx:
            onboardings.record(tx, repository, state, number=number, url=url, actor=self.actor, trace_id=self.trace_id)


async def propose(context: OnboardingContext, repository: str, *, again: bool) -> Proposal:
    """Open the pull request that asks, or return the one that does, or did.

    Args:
        context: What is needed for it.
        repository: As the settings spell it, if they name it.
        again: Ask once more after a no.

    Raises:
        RefusedError: It was closed, which is a no; or the repository has the file already, or cannot be written to.
        PublishRefusedError: The branch holds somebody's commits.
        GitHubError, GitError: Something did not answer.
    """
    client, branch = context.client, _branch(context.settings)
    info = await repository_info(client, repository)
    existing = await _find_asking(client, info.name, context.settings)
    if existing is not None and (existing.state != "closed" or not again):
        state = OnboardingState(existing.state)
        context.record(repository, state, existing)
        if state is OnboardingState.CLOSED:
            raise RefusedError(
                f"{repository} was asked and said no: {existing.url} was closed",
                hint="ask its people; `squire init --pull-request OWNER/NAME --again` asks once more",
            )
        return Proposal(existing, created=False)
    _check(info, repository)
    if (await read_file(client, PresetPlace(info.name, REPOSITORY_FILE))).blob_sha is not None:
        raise RefusedError(
            f"{repository} has {REPOSITORY_FILE} already, so that there is nothing to ask",
            hint="add the repository to `repositories`",
        )
    tasks, notes = await _foreseen(context, repository, info)
    context.record(repository, OnboardingState.OPEN, None)
    head_sha = _push(context, info, repository, earlier=existing)
    body = _body(tasks, notes)
    pull = await create_pull_request(
        client, info.name, title=TITLE, body=body, head=branch, base=info.default_branch or "", draft=False
    )
    context.record(repository, OnboardingState.OPEN, pull)
    _log.info("onboarding pull request opened", repository=repository, number=pull.number, head_sha=head_sha)
    return Proposal(pull, created=True, tasks=len(tasks))


def _branch(settings: Settings) -> str:
    return f"{settings.publishing.branch_prefix}{BRANCH}"


async def _find_asking(client: GitHubClient, name: str, settings: Settings) -> PullRequestRef | None:
    """Return the pull request that asks, also one from before the prefix of Squire's branches was set."""
    for branch in dict.fromkeys((_branch(settings), f"{OWN_BRANCHES}{BRANCH}")):
        if (pull := await find_pull_request(client, name, branch)) is not None:
            return pull
    return None


async def follow_onboarding(
    client: GitHubClient, ledger: Ledger, settings: Settings, repository: str, *, trace_id: str
) -> None:
    """Record what became of the pull request that asks, where one does; what does not answer is asked again."""
    with ledger.read() as tx:
        asked = onboardings.get(tx, repository)
    if asked is None or asked.state is OnboardingState.MERGED:
        return
    try:
        info = await repository_info(client, repository)
        pull = await _find_asking(client, info.name, settings)
    except GitHubError as error:
        _log.warning("the onboarding pull request was not looked at", repository=repository, reason=str(error))
        return
    if pull is not None:
        with ledger.write() as tx:
            state = OnboardingState(pull.state)
            onboardings.record(
                tx, repository, state, number=pull.number, url=pull.url, actor="collect", trace_id=trace_id
            )


def _check(info: RepositoryInfo, repository: str) -> None:
    if info.archived or info.default_branch is None or info.is_empty:
        problem = "is archived" if info.archived else "has no commits yet"
        raise RefusedError(f"{repository} {problem}, so that no pull request can be opened", hint="change that first")


async def _foreseen(
    context: OnboardingContext, repository: str, info: RepositoryInfo
) -> tuple[tuple[TaskSpec, ...], tuple[str, ...]]:
    """Return the tasks that would be planned by the rules, and notes on what was left out or not read."""
    settings = context.settings
    foresight = await foresee(context.client, settings, context.ledger, repository)
    plan = plan_by_rules(
        PlanInputs(
            repository,
            foresight.basis.signals,
            info.default_branch,
            settings.issue_labels_for(repository),
            foresight.basis.covered,
            settings.planner.max_tasks,
            settings.filters_for(repository).rules,
        )
    )
    silent = [f"{reading.source} was not read: {reading.error}" for reading in foresight.readings if reading.error]
    return plan.tasks, (*plan.notes, *silent)


def _push(context: OnboardingContext, info: RepositoryInfo, repository: str, *, earlier: PullRequestRef | None) -> str:
    """Push the commit with the file, which builds on the default branch's head. Raises GitError, GitHubError."""
    settings = context.settings
    mirror = fetch_mirror(settings.home, repository, info.clone_url, context.token)
    with tempfile.TemporaryDirectory(prefix="squire-onboarding-") as folder, mirror.shared():
        head_sha = _commit(context, info, mirror, Path(folder))
        push_head(
            Path(folder) / "git",
            Remote.parse(info.clone_url, context.token),
            branch=_branch(settings),
            head_sha=head_sha,
            earlier_heads=frozenset({earlier.head_sha} if earlier is not None else ()),
        )
    return head_sha


def _commit(context: OnboardingContext, info: RepositoryInfo, mirror: Mirror, folder: Path) -> str:
    """Write the commit into a scratch repository; the same at every call, while the default branch is."""
    git_dir = folder / "git"
    run_git(["init", "--quiet", "--bare", str(git_dir)])
    (git_dir / "objects/info/alternates").write_text(f"{mirror.path / 'objects'}\n", encoding="utf-8")
    git = partial(run_git, git_dir=git_dir, environment={"GIT_INDEX_FILE": str(folder / "index")})
    base = mirror.resolve(info.default_branch or "")
    blob = git(["hash-object", "-w", "--stdin"], stdin=proposed_file().encode()).decode().strip()
    git(["read-tree", base])
    git(["update-index", "--add", "--cacheinfo", f"100644,{blob},{REPOSITORY_FILE}"])
    tree = git(["write-tree"]).decode().strip()
    date = git(["show", "-s", "--format=%ct", base]).decode().strip()
    author = commit_author(context.settings.github, info.viewer)
    environment: dict[str, str] = {}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {
            f"GIT_{role}_NAME": author.name,
            f"GIT_{role}_EMAIL": author.email,
            f"GIT_{role}_DATE": f"{date} +0000",
        }
    written = run_git(
        ["commit-tree", "--no-gpg-sign", "-p", base, tree],
        git_dir=git_dir,
        stdin=f"{TITLE}\n".encode(),
        environment=environment,
    )
    return written.decode().strip()


def _body(tasks: Sequence[TaskSpec], notes: Sequence[str]) -> str:
    """Return the pull request's text: what merging and closing mean, and what would be planned now."""
    rows = [_row(task) for task in tasks[:_MAX_TASKS]]
    table = ["| task | kind | priority | answers |", "|---|---|---|---|", *rows] if rows else ["Nothing at present."]
    left = [f"… and {len(tasks) - _MAX_TASKS} more."] if len(tasks) > _MAX_TASKS else []
    remarks = [f"- {escape_markdown(' '.join(note.split()), limit=300)}" for note in notes[:_MAX_TASKS]]
    return "\n".join([_INTRODUCTION, "", "### What would be planned now", "", *table, *left, "", *remarks])


def _row(task: TaskSpec) -> str:
    cells = (task.title, task.kind, task.priority.name.lower(), ", ".join(task.signals))
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return escape_markdown(" ".join(text.split()), limit=200).replace("|", "\\|")
