"""The one comment on a pull request: a part is changed, and the others stay as they are."""

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.pull_comment import COMMENT_MARK, CommentPart, parts_of, with_part
from squire_pipelines.publishing.escaping import escape_markdown

PARTS = st.dictionaries(st.sampled_from(CommentPart), st.text(max_size=200).map(escape_markdown))


@given(PARTS, st.sampled_from(CommentPart), st.text(max_size=200).map(escape_markdown))
def test_one_part_is_changed_and_the_others_stay(
    parts: dict[CommentPart, str], changed: CommentPart, text: str
) -> None:
    body = ""
    for name, content in parts.items():
        body = with_part(body, name, content)
    before, after = parts_of(body), parts_of(with_part(body, changed, text))
    assert {name: content for name, content in after.items() if name != changed} == {
        name: content for name, content in before.items() if name != changed
    }
    assert changed.value in after
    assert with_part(with_part(body, changed, text), changed, text) == with_part(body, changed, text)


def test_parts_stand_in_their_order_and_one_of_a_later_version_is_kept() -> None:
    body = with_part("", CommentPart.APPROVAL, "It waits.")
    body = with_part(f"{body}\n<!-- squire part later -->\nsomething\n", CommentPart.FOLLOW, "It goes on.")
    assert body.startswith(f"{COMMENT_MARK}\n<!-- squire part follow -->\nIt goes on.\n")
    assert list(parts_of(body)) == ["follow", "approval", "later"]
    assert with_part(body.replace("\n", "\r\n"), CommentPart.FOLLOW, "It goes on.") == body
