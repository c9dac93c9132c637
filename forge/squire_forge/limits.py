"""Rate limits as GitHub counts them: requests for REST and estimated points for GraphQL, in a window of an hour."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode
from graphql.language import DocumentNode, IntValueNode, OperationDefinitionNode, VariableNode

LIMIT = 5_000
WINDOW_S = 3_600
_REQUESTS_PER_POINT = 100
_MAX_DEPTH = 30


@dataclass(frozen=True, slots=True)
class Quota:
    """The use of one limit in its window; `reset` is seconds since 1970."""

    limit: int
    used: int
    reset: int

    @property
    def remaining(self) -> int:
        """The points that may still be spent."""
        return max(0, self.limit - self.used)


class RateLimits:
    """The two limits of the token, `core` and `graphql`, kept in memory."""

    def __init__(self, *, limit: int = LIMIT, clock: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._clock = clock
        self._guard = threading.Lock()
        self._windows: dict[str, Quota] = {}

    def peek(self, resource: str) -> Quota:
        """Return the quota as it stands."""
        return self.spend(resource, 0)

    def spend(self, resource: str, points: int) -> Quota:
        """Spend points and return what is left; `used` goes beyond `limit` when there was not enough."""
        now = int(self._clock())
        with self._guard:
            window = self._windows.get(resource)
            if window is None or now >= window.reset:
                window = Quota(limit=self._limit, used=0, reset=now + WINDOW_S)
            window = Quota(limit=window.limit, used=window.used + points, reset=window.reset)
            self._windows[resource] = window
        return window


def headers(resource: str, quota: Quota) -> dict[str, str]:
    """Return the headers that go with every answer."""
    return {
        "x-ratelimit-limit": str(quota.limit),
        "x-ratelimit-remaining": str(quota.remaining),
        "x-ratelimit-reset": str(quota.reset),
        "x-ratelimit-used": str(min(quota.used, quota.limit)),
        "x-ratelimit-resource": resource,
    }


def query_cost(document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, object]) -> int:
    """Return the points of a query: one for each hundred connections that it may have to read, at least one.

    See https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api.
    """
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    requests = _requests(operation.selection_set, fragments, variables, parents=1, depth=0)
    return max(1, round(requests / _REQUESTS_PER_POINT))


def _requests(
    selections: SelectionSetNode | None,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, object],
    *,
    parents: int,
    depth: int,
) -> int:
    if selections is None or depth > _MAX_DEPTH:
        return 0
    total = 0
    for node in selections.selections:
        if isinstance(node, FragmentSpreadNode):
            fragment = fragments.get(node.name.value)
            inner, below, own = fragment.selection_set if fragment else None, parents, 0
        elif isinstance(node, InlineFragmentNode):
            inner, below, own = node.selection_set, parents, 0
        elif isinstance(node, FieldNode):
            size = _page_size(node, variables)
            inner, below, own = node.selection_set, parents * (size or 1), parents if size else 0
        else:
            continue
        total += own + _requests(inner, fragments, variables, parents=below, depth=depth + 1)
    return total


def _page_size(field: FieldNode, variables: Mapping[str, object]) -> int | None:
    for argument in field.arguments:
        if argument.name.value in {"first", "last"}:
            if isinstance(argument.value, IntValueNode):
                return int(argument.value.value)
            value = variables.get(argument.value.name.value) if isinstance(argument.value, VariableNode) else None
            return value if isinstance(value, int) else None
    return None
