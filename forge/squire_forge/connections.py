"""GraphQL connections: pages of a list with GitHub's rules for `first` and `last`. Pure."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from graphql import GraphQLError

MAX_PAGE = 100
_CURSOR = "cursor:v2:"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageInfo:
    """The position of a page in its list."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(frozen=True, slots=True)
class Connection(Generic[T]):
    """One page of a list, and the size of the whole."""

    nodes: Sequence[T]
    total_count: int
    page_info: PageInfo


class PaginationError(GraphQLError):
    """GitHub's refusal of a connection without bounds, or with too large ones; `kind` is the error's `type`."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def page(
    items: Sequence[T],
    field: str,
    *,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    before: str | None = None,
) -> Connection[T]:
    """Return the page that the arguments ask for. Raises PaginationError as GitHub does."""
    if first is None and last is None:
        raise PaginationError(
            f"You must provide a `first` or `last` value to properly paginate the `{field}` connection.",
            kind="MISSING_PAGINATION_BOUNDARIES",
        )
    for name, size in (("first", first), ("last", last)):
        if size is not None and size > MAX_PAGE:
            raise PaginationError(
                f"Requesting {size} records on the `{field}` connection exceeds the `{name}` limit of {MAX_PAGE}"
                " records.",
                kind="EXCESSIVE_PAGINATION",
            )
        if size is not None and size < 0:
            raise PaginationError(
                f"`{name}` on the `{field}` connection cannot be less than 0.", kind="INVALID_PAGINATION"
            )
    start = 0 if after is None else _position(after, field) + 1
    stop = len(items) if before is None else min(len(items), _position(before, field))
    if first is not None:
        stop = min(stop, start + first)
    if last is not None:
        start = max(start, stop - last)
    nodes = items[start:stop]
    return Connection(
        nodes=nodes,
        total_count=len(items),
        page_info=PageInfo(
            has_next_page=stop < len(items),
            has_previous_page=start > 0,
            start_cursor=_cursor(start) if nodes else None,
            end_cursor=_cursor(start + len(nodes) - 1) if nodes else None,
        ),
    )


def _cursor(position: int) -> str:
    return base64.b64encode(f"{_CURSOR}{position}".encode()).decode()


def _position(cursor: str, field: str) -> int:
    try:
        text = base64.b64decode(cursor, validate=True).decode()
        return int(text.removeprefix(_CURSOR))
    except ValueError:
        raise PaginationError(
            f"`{cursor}` does not appear to be a valid cursor on the `{field}` connection.",
            kind="INVALID_CURSOR_ARGUMENTS",
        ) from None
