"""Merging a pull request by GitHub's own ways, and what GitHub says of it before. No protection is gone around.

https://docs.github.com/rest/pulls/pulls#merge-a-pull-request and
https://docs.github.com/graphql/reference/mutations#enablepullrequestautomerge
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from pydantic import AliasPath, Field

from squire_pipelines.domain.authority import Author, bot_name
from squire_pipelines.domain.merging import BotJudgement, MergeMethod, MergeStatus, MergeWay
from squire_pipelines.domain.outcomes import ChecksState, ReviewDecision
from squire_pipelines.errors import GitHubNotFoundError, GitHubPermissionError, GitHubValidationError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import Actor, GitHubModel, GraphQLModel, Nodes, Rollup, Text, parse
from squire_pipelines.github.provenance import author_of
from squire_pipelines.github.review_bots import judged_head_of, judges_other_head, least_confidence_of
from squire_pipelines.github.signals import checks_state, is_bot, login

MAX_FILES = 300
"""GitHub compares so many files at most."""

_QUERY = "merge_facts"
_CONFLICT = 409
_OPINIONS = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})
_WRITES = frozenset({"ADMIN", "MAINTAIN", "WRITE"})
_MUTATIONS = {MergeWay.AUTO: "enable_auto_merge", MergeWay.QUEUE: "enqueue_pull_request"}
_UNDOING = {MergeWay.AUTO: "disable_auto_merge", MergeWay.QUEUE: "dequeue_pull_request"}


class _DatedSuite(GraphQLModel):
    created_at: datetime


class _CheckedCommit(GraphQLModel):
    oid: str | None = None
    committed_date: datetime | None = None
    check_suites: Nodes[_DatedSuite] | None = None
    status_check_rollup: Rollup | None = None

    @property
    def came_at(self) -> datetime | None:
        """When it came to GitHub, as far as it says: with the push, the first check suite is made.

        A commit's own date is whatever git was given, and can be much earlier.
        """
        suites = [suite.created_at for suite in self.check_suites.nodes] if self.check_suites else []
        times = [*([min(suites)] if suites else []), *([self.committed_date] if self.committed_date else [])]
        return max(times, default=None)


class _CommitOfPull(GraphQLModel):
    commit: _CheckedCommit


class _MergeReview(GraphQLModel):
    state: str
    body: Text = ""
    author: Actor | None = None
    author_association: str = "NONE"
    commit: str | None = Field(default=None, validation_alias=AliasPath("commit", "oid"))


class _DatedComment(GraphQLModel):
    body: Text = ""
    updated_at: datetime
    author: Actor | None = None


class _OpenThread(GraphQLModel):
    is_resolved: bool


class _Threads(Nodes[_OpenThread]):
    total_count: int = 0


class _RequestEnd(GraphQLModel):
    actor: Actor | None = None
    reason: Text = ""


class MergeablePull(GraphQLModel):
    """A pull request as it is before its merge; `id` is GraphQL's."""

    id: str
    state: str
    is_draft: bool = False
    head_ref_oid: str
    base_ref_name: Text
    merge_state_status: str = "UNKNOWN"
    review_decision: str | None = None
    is_in_merge_queue: bool = False
    is_merge_queue_enabled: bool = False
    viewer_can_enable_auto_merge: bool = False
    auto_merge_request: dict[str, object] | None = None
    commits: Nodes[_CommitOfPull] = Nodes()
    reviews: Nodes[_MergeReview] | None = None
    opinions: Nodes[_MergeReview] | None = None
    comments: Nodes[_DatedComment] = Nodes()
    review_threads: _Threads = _Threads()
    timeline_items: Nodes[_RequestEnd] = Nodes()

    @property
    def is_open(self) -> bool:
        """Whether it can be merged at all."""
        return self.state == "OPEN"

    @property
    def status(self) -> MergeStatus:
        """Whether GitHub would merge it; what is not known to us is unknown."""
        known = MergeStatus.__members__.get(self.merge_state_status)
        return known or MergeStatus.UNKNOWN

    @property
    def checks(self) -> ChecksState:
        """What all checks of its head say; they are waited for where GitHub shows those of another commit."""
        commit = self.commits.nodes[-1].commit if self.commits.nodes else None
        if commit is not None and commit.oid not in {None, self.head_ref_oid}:
            return ChecksState.PENDING
        return checks_state(commit.status_check_rollup if commit else None)

    @property
    def review(self) -> ReviewDecision:
        """What the reviews say that the base branch wants."""
        names = {decision.value.upper(): decision for decision in ReviewDecision}
        return names.get(self.review_decision or "", ReviewDecision.NONE)

    @property
    def is_armed(self) -> bool:
        """Whether GitHub's auto-merge or its merge queue has it."""
        return self.is_in_merge_queue or self.auto_merge_request is not None

    @property
    def unarmed_by(self) -> str | None:
        """Who ended an earlier request to merge, and why."""
        if not self.timeline_items.nodes:
            return None
        last = self.timeline_items.nodes[-1]
        return ": ".join(part for part in (last.actor.login if last.actor else "", last.reason[:200]) if part) or None

    @property
    def open_threads(self) -> int:
        """Threads that nobody resolved; beyond the newest hundred, all count as such."""
        known = self.review_threads.nodes
        return sum(not thread.is_resolved for thread in known) + max(0, self.review_threads.total_count - len(known))

    @property
    def objectors(self) -> tuple[str, ...]:
        """Whose last word asks for changes, of whatever commit: people, bots, and accounts that are gone."""
        last = self._last_opinions()
        return tuple(login(one.author) for one in last.values() if one.state == "CHANGES_REQUESTED")

    @property
    def approvers(self) -> tuple[Author, ...]:
        """The people whose last word on the present head is an approval; whether they may, is not known yet."""
        approved = [one for one in self._last_opinions().values() if one.state == "APPROVED"]
        people = [one for one in approved if one.commit == self.head_ref_oid and not is_bot(one.author)]
        authors = [author_of(one.author, one.author_association) for one in people]
        return tuple(author for author in authors if author is not None)

    def _last_opinions(self) -> dict[str, _MergeReview]:
        """Return everybody's last opinion. Words that are none, as each answer in a thread is, hide no older one."""
        reviews = self.opinions.nodes if self.opinions else ()
        # Nobody knows which of the reviews of accounts that are gone are of the same one: each counts.
        known = enumerate(one for one in reviews if one.state in _OPINIONS)
        return {f"{one.author.typename}/{one.author.login}" if one.author else f"/{at}": one for at, one in known}

    def judgements(self, bots: tuple[str, ...], pushed_at: datetime | None = None) -> tuple[BotJudgement, ...]:
        """Return how sure each of these bots is of the present head, by its last word on it.

        Args:
            bots: The logins of those that count.
            pushed_at: When the head was pushed, as far as we know.
        """
        known = {bot_name(bot) for bot in bots}
        judged: dict[str, float] = {}
        for actor, body in self._words_on_head(pushed_at):
            confidence = least_confidence_of(body)
            if is_bot(actor) and bot_name(actor.login) in known and confidence is not None:
                judged[bot_name(actor.login)] = confidence
        return tuple(BotJudgement(bot, confidence) for bot, confidence in judged.items())

    def _words_on_head(self, pushed_at: datetime | None) -> Iterator[tuple[Actor, str]]:
        """Yield what was written about the present head: where that is not said, what was written after its push."""
        commit = self.commits.nodes[-1].commit if self.commits.nodes else None
        came_at = commit.came_at if commit else None
        since = max(came_at, pushed_at) if came_at and pushed_at else came_at
        for comment in self.comments.nodes:
            judged = judged_head_of(comment.body)
            is_after = since is not None and comment.updated_at > since
            is_of_head = is_after if judged is None else not judges_other_head(judged, self.head_ref_oid)
            if comment.author and is_of_head:
                yield comment.author, comment.body
        for review in self.reviews.nodes if self.reviews else ():
            if review.author and review.commit == self.head_ref_oid:
                yield review.author, review.body


class MergeRights(GraphQLModel):
    """How a repository lets pull requests be merged, and what the token's account may do there."""

    merge_commit_allowed: bool = False
    squash_merge_allowed: bool = False
    rebase_merge_allowed: bool = False
    auto_merge_allowed: bool = False
    viewer_permission: str | None = None

    @property
    def methods(self) -> frozenset[MergeMethod]:
        """The methods that the repository allows."""
        allowed = {
            MergeMethod.MERGE: self.merge_commit_allowed,
            MergeMethod.SQUASH: self.squash_merge_allowed,
            MergeMethod.REBASE: self.rebase_merge_allowed,
        }
        return frozenset(method for method, is_allowed in allowed.items() if is_allowed)

    @property
    def may_write(self) -> bool | None:
        """Whether the token's account may merge; None where GitHub does not say, as of an App."""
        return None if self.viewer_permission is None else self.viewer_permission in _WRITES


class MergeReading(MergeRights):
    """A pull request before its merge, and what its repository and the token allow."""

    pull_request: MergeablePull

    @property
    def may_auto_merge(self) -> bool:
        """Whether auto-merge can be switched on."""
        return self.auto_merge_allowed and self.pull_request.viewer_can_enable_auto_merge


class _RightsAnswer(GraphQLModel):
    repository: MergeRights


class _MergeAnswer(GraphQLModel):
    repository: MergeReading


class _ComparedFile(GitHubModel):
    filename: Text
    previous_filename: Text | None = None
    additions: int = 0
    deletions: int = 0


class _Comparison(GitHubModel):
    files: tuple[_ComparedFile, ...] = ()


class _MergedCommit(GitHubModel):
    sha: str


@dataclass(frozen=True, slots=True)
class MergeableChange:
    """What a merge would bring; `paths` has the earlier names of renamed files, and is None where not all are known."""

    paths: tuple[str, ...] | None
    files: int
    lines: int


@dataclass(frozen=True, slots=True)
class MergeRefused:
    """GitHub's refusal of a merge: in its words, whether the head has moved, and whether asking again is of no use."""

    reason: str
    has_moved: bool = False
    for_good: bool = False


async def read_before_merge(client: GitHubClient, repository: str, number: int) -> MergeReading:
    """Return what GitHub says now of a pull request that may be merged. Raises GitHubError."""
    owner, _, name = repository.partition("/")
    data = await client.graphql(_QUERY, {"owner": owner, "name": name, "number": number})
    return parse(_MergeAnswer, data, request=f"the query {_QUERY}").repository


async def read_merge_rights(client: GitHubClient, repository: str) -> MergeRights:
    """Return how a repository lets pull requests be merged. Raises GitHubError."""
    owner, _, name = repository.partition("/")
    data = await client.graphql("merge_rights", {"owner": owner, "name": name})
    return parse(_RightsAnswer, data, request="the query merge_rights").repository


async def read_change(client: GitHubClient, repository: str, base: str, head_sha: str) -> MergeableChange:
    """Return what a commit changes since it left a branch: of that commit, whatever becomes of its branch meanwhile.

    Raises GitHubError.
    """
    path = f"/repos/{repository}/compare/{quote(base, safe='')}...{head_sha}"
    files = parse(_Comparison, await client.get(path), request=f"GET {path}").files
    names = {name for file in files for name in (file.filename, file.previous_filename) if name}
    lines = sum(file.additions + file.deletions for file in files)
    return MergeableChange(tuple(sorted(names)) if len(files) < MAX_FILES else None, len(files), lines)


async def merge_at(
    client: GitHubClient, repository: str, number: int, *, head_sha: str, method: MergeMethod
) -> str | MergeRefused:
    """Merge a pull request whose head is still `head_sha`; return the merge commit, or GitHub's refusal.

    Raises GitHubError where it is not known what became of it: GitHub cannot be reached, or limits requests.
    """
    path = f"/repos/{repository}/pulls/{number}/merge"
    content: dict[str, object] = {"sha": head_sha, "merge_method": method.value}
    try:
        return parse(_MergedCommit, await client.put(path, content), request=f"PUT {path}").sha
    except (GitHubValidationError, GitHubPermissionError, GitHubNotFoundError) as error:
        return refusal_of(error)


async def ask_to_merge(
    client: GitHubClient, repository: str, pull: str, way: MergeWay, *, head_sha: str, method: MergeMethod
) -> MergeRefused | None:
    """Give a pull request, by its GraphQL id, to GitHub's auto-merge or its merge queue; return GitHub's refusal.

    Raises GitHubError where it is not known what became of it.
    """
    variables = {"id": pull, "head": head_sha}
    if way is MergeWay.AUTO:
        variables["method"] = method.value.upper()
    try:
        await client.mutate(_MUTATIONS[way], variables, repository=repository)
    except (GitHubValidationError, GitHubPermissionError, GitHubNotFoundError) as error:
        return refusal_of(error)
    return None


async def take_back(client: GitHubClient, repository: str, pull: str, way: MergeWay) -> None:
    """Take a pull request out of GitHub's auto-merge or merge queue. Raises GitHubError."""
    await client.mutate(_UNDOING[way], {"id": pull}, repository=repository)


def refusal_of(error: GitHubValidationError | GitHubPermissionError | GitHubNotFoundError) -> MergeRefused:
    """Return what GitHub's refusal means: a head that moved, a right that the token lacks, or a rule."""
    words = str(error.context.get("message") or error.message)
    if isinstance(error, GitHubValidationError):
        moved = error.context.get("status") == _CONFLICT or "was modified" in words
        return MergeRefused(f"GitHub refused the merge: {words}", has_moved=moved)
    return MergeRefused(f"the token may not merge here: {words}; {error.hint}", for_good=True)
