import pytest

from squire_forge.connections import Connection, PaginationError, page

ITEMS = tuple(range(10))


def test_pages_joined_by_their_cursors_are_the_list() -> None:
    seen: list[int] = []
    after = None
    for _ in range(4):
        part = page(ITEMS, "issues", first=3, after=after)
        seen += part.nodes
        after = part.page_info.end_cursor
        if not part.page_info.has_next_page:
            break
    assert seen == list(ITEMS)


def test_last_gives_the_end_of_the_list() -> None:
    part = page(ITEMS, "commits", last=2)
    assert list(part.nodes) == [8, 9]
    assert part.total_count == 10
    assert part.page_info.has_previous_page
    assert not part.page_info.has_next_page


def test_last_before_a_cursor_goes_backwards() -> None:
    newest = page(ITEMS, "comments", last=2)
    older = page(ITEMS, "comments", last=2, before=newest.page_info.start_cursor)
    assert list(older.nodes) == [6, 7]


def test_empty_list_has_no_cursors() -> None:
    part: Connection[int] = page((), "issues", first=5)
    assert part.page_info.end_cursor is None
    assert part.page_info.start_cursor is None


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({}, "MISSING_PAGINATION_BOUNDARIES"),
        ({"first": 101}, "EXCESSIVE_PAGINATION"),
        ({"last": -1}, "INVALID_PAGINATION"),
        ({"first": 1, "after": "nonsense"}, "INVALID_CURSOR_ARGUMENTS"),
        ({"first": 1, "after": "Y3Vyc29yOnYyOg=="}, "INVALID_CURSOR_ARGUMENTS"),
    ],
)
def test_what_github_refuses_is_refused_with_its_type(arguments: dict[str, object], kind: str) -> None:
    with pytest.raises(PaginationError) as caught:
        page(ITEMS, "issues", **arguments)  # type: ignore[arg-type]
    assert caught.value.kind == kind
