"""Which signals a repository's owner wants Squire to look at: by labels, authors, branches, paths and drafts. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from squire_pipelines.domain.globs import matches
from squire_pipelines.domain.signals import (
    FailedCheck,
    ManualTask,
    OpenIssue,
    OpenPullRequest,
    PluginFact,
    ReviewFinding,
    Signal,
    Source,
)

_BOT_SUFFIX = "[bot]"  # REST appends it to an App's login, GraphQL does not


@dataclass(frozen=True, slots=True)
class SignalFilters:
    """What passes; each list that is empty lets everything pass. A person's own request passes always.

    `labels` are those of an issue, or of the pull request that a check or a remark is about. `branches` and `paths` are
    patterns. Names are compared without regard to case, as GitHub does.
    """

    sources: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    ignore_labels: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    ignore_authors: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    drafts: bool = True


@dataclass(frozen=True, slots=True)
class _FilteredFact:
    """What filters ask of a signal; None where it has no such thing, so that no filter of it applies."""

    labels: frozenset[str] | None = None
    author: str | None = None
    branch: str | None = None
    path: str | None = None
    is_draft: bool = False


NO_FILTERS = SignalFilters()


@dataclass(frozen=True, slots=True)
class OpenPullRequests:
    """The open pull requests by their numbers, whose labels and state count for what is about them."""

    by_number: Mapping[int, OpenPullRequest] = field(default_factory=dict)

    @classmethod
    def among(cls, signals: Iterable[Signal]) -> "OpenPullRequests":
        """Return those among all signals of a repository."""
        pulls = (signal.details for signal in signals if isinstance(signal.details, OpenPullRequest))
        return cls({pull.number: pull for pull in pulls})


def left_out_by(signal: Signal, filters: SignalFilters, pulls: OpenPullRequests) -> str | None:
    """Return which filter leaves a signal out; None when all let it pass."""
    if isinstance(signal.details, ManualTask):
        return None
    if filters.sources and _source_name(signal) not in filters.sources:
        return "sources"
    fact = _facts(signal, pulls)
    names = chain(_by_labels(fact, filters), _by_author(fact, filters), _by_place(fact, filters))
    return next(names, None)


def _by_labels(fact: _FilteredFact, filters: SignalFilters) -> Iterator[str]:
    if fact.labels is None:
        return
    if filters.labels and fact.labels.isdisjoint(_folded(filters.labels)):
        yield "labels"
    if not fact.labels.isdisjoint(_folded(filters.ignore_labels)):
        yield "ignore_labels"


def _by_author(fact: _FilteredFact, filters: SignalFilters) -> Iterator[str]:
    if fact.author is None:
        return
    author = _login(fact.author)
    if filters.authors and author not in {_login(name) for name in filters.authors}:
        yield "authors"
    if author in {_login(name) for name in filters.ignore_authors}:
        yield "ignore_authors"


def _by_place(fact: _FilteredFact, filters: SignalFilters) -> Iterator[str]:
    if filters.branches and fact.branch is not None and not matches(fact.branch, filters.branches, beneath=False):
        yield "branches"
    if filters.paths and fact.path is not None and not matches(fact.path, filters.paths):
        yield "paths"
    if fact.is_draft and not filters.drafts:
        yield "drafts"


def _source_name(signal: Signal) -> str:
    if isinstance(signal.details, PluginFact):
        return signal.details.source
    return next((source.value for source in Source if source.kind is signal.kind), "")


def _facts(signal: Signal, pulls: OpenPullRequests) -> _FilteredFact:
    match signal.details:
        case OpenIssue() as issue:
            return _FilteredFact(labels=_folded(issue.labels), author=issue.author)
        case FailedCheck() as check:
            pull = None if check.pull_request is None else pulls.by_number.get(check.pull_request)
            return _about(pull, author=check.pull_request_author, branch=check.branch)
        case ReviewFinding() as finding:
            pull = pulls.by_number.get(finding.pull_request)
            return _about(pull, author=finding.author, branch=finding.head_ref, path=finding.path)
        case PluginFact() as fact:
            return _FilteredFact(author=fact.author or None, branch=fact.branch)
        case _:
            return _FilteredFact()


def _about(pull: OpenPullRequest | None, *, author: str | None, branch: str, path: str | None = None) -> _FilteredFact:
    if pull is None:
        return _FilteredFact(author=author, branch=branch, path=path)
    return _FilteredFact(_folded(pull.labels), author, branch, path, pull.is_draft)


def _folded(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)


def _login(name: str) -> str:
    return name.casefold().removesuffix(_BOT_SUFFIX)
