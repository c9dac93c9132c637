"""The registry and the context of the GraphQL resolvers, and the objects that only GraphQL has. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError

from squire_forge.connections import Connection
from squire_forge.limits import Quota
from squire_forge.records import CheckRun, CommitStatus, Pull, Repository
from squire_forge.world import View

Resolver = Callable[..., Any]
RESOLVERS: dict[tuple[str, str], Resolver] = {}
_PAGING = ("first", "last", "after", "before")


@dataclass(frozen=True, slots=True)
class Context:
    """The values that the resolvers of one query share; `reset_at` is RFC 3339."""

    view: View
    quota: Quota
    cost: int
    reset_at: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a repository."""

    repository: Repository
    oid: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A branch."""

    repository: Repository
    name: str
    oid: str


@dataclass(frozen=True, slots=True)
class Rollup:
    """All checks and statuses of one commit."""

    commit: Commit
    contexts: tuple[CheckRun | CommitStatus, ...]


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many checks of a commit have a state."""

    state: str
    count: int


@dataclass(frozen=True, slots=True)
class RollupContexts(Connection[CheckRun | CommitStatus]):
    """A page of a commit's checks, and how many of all have which state."""

    check_run_counts_by_state: tuple[StateCount, ...]
    status_context_counts_by_state: tuple[StateCount, ...]


@dataclass(frozen=True, slots=True)
class PullCommit:
    """A commit as part of a pull request."""

    pull: Pull
    commit: Commit


class UnprocessableRequestError(GraphQLError):
    """GitHub's error for a request that it understood and refuses; `kind` is the error's `type`."""

    kind = "UNPROCESSABLE"


class ForbiddenRequestError(GraphQLError):
    """GitHub's error for a request that the token may not make; `kind` is the error's `type`."""

    kind = "FORBIDDEN"


class NotFoundError(GraphQLError):
    """GitHub's error for a name that it cannot resolve; `kind` is the error's `type`."""

    kind = "NOT_FOUND"


def on(type_name: str, field: str) -> Callable[[Resolver], Resolver]:
    """Register the resolver of a field; it is called with the object, the Context and the field's arguments."""

    def register(function: Resolver) -> Resolver:
        RESOLVERS[type_name, field] = function
        return function

    return register


def paging(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments of a connection that choose its page."""
    return {name: arguments.get(name) for name in _PAGING}


def ordered(items: Sequence[Any], order: Mapping[str, str] | None, comments: Callable[[Any], int]) -> list[Any]:
    """Return `items` in the order of an IssueOrder, by age without one; `comments` counts an item's comments."""
    if order is None:
        return list(items)
    keys: dict[str, Callable[[Any], Any]] = {
        "CREATED_AT": lambda item: (item.created_at, item.id),
        "UPDATED_AT": lambda item: (item.updated_at, item.id),
        "COMMENTS": lambda item: (comments(item), item.id),
    }
    return sorted(items, key=keys[order["field"]], reverse=order["direction"] == "DESC")
