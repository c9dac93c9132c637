import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.authority import ActorKind
from squire_pipelines.errors import DeliveryError
from squire_pipelines.github.comments import parse_comment

COMMENT = {"id": 7, "body": "hello", "html_url": "https://x/7", "user": {"login": "ann", "type": "User"}}
ISSUE = {"number": 3, "title": "T", "body": None, "labels": [{"name": "bug"}], "user": {"login": "bob"}}


def delivery(**parts: Any) -> bytes:
    return json.dumps({"action": "created", "comment": COMMENT, "issue": ISSUE, **parts}).encode()


def test_a_comment_is_read_with_its_author_and_its_issue() -> None:
    comment = parse_comment(delivery())
    assert comment is not None
    assert (comment.id, comment.body, comment.url, comment.number) == (7, "hello", "https://x/7", 3)
    assert (comment.author.login, comment.author.kind, comment.author.permission) == ("ann", ActorKind.PERSON, None)
    assert (comment.title, comment.text, comment.labels, comment.issue_author) == ("T", "", ("bug",), "bob")
    assert not comment.on_pull_request


@pytest.mark.parametrize(("kind", "is_person"), [("User", True), ("Bot", False), ("", False), ("Mannequin", False)])
def test_only_a_user_is_a_person(kind: str, *, is_person: bool) -> None:
    comment = parse_comment(delivery(comment={**COMMENT, "user": {"login": "ann", "type": kind}}))
    assert comment is not None
    assert (comment.author.kind is ActorKind.PERSON) is is_person


def test_a_pull_requests_comment_says_so_and_one_of_nobody_is_none() -> None:
    on_pull = parse_comment(delivery(issue={**ISSUE, "pull_request": {"url": "https://x"}}))
    assert on_pull is not None
    assert on_pull.on_pull_request
    assert parse_comment(delivery(comment={**COMMENT, "user": None})) is None


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists)


@given(name=st.sampled_from(["id", "body", "user", "html_url"]), value=_JSON)
def test_whatever_a_field_holds_it_is_read_or_refused_by_name(name: str, value: object) -> None:
    with suppress(DeliveryError):
        parse_comment(delivery(comment={**COMMENT, name: value}))


def test_a_delivery_without_its_comment_is_refused_with_the_field() -> None:
    with pytest.raises(DeliveryError, match=r"not what GitHub sends: comment\.id"):
        parse_comment(delivery(comment={}))
