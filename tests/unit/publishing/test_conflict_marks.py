import pytest

from squire_pipelines.publishing.conflict_marks import leftover_mark
from squire_pipelines.publishing.git_merges import AutomaticMerge

OURS, THEIRS = "a" * 40, "b" * 40
MERGE = AutomaticMerge(OURS, THEIRS, "c" * 40, ("x",))
BEFORE = f"Title\n=======\n<<<<<<< {OURS}\none\n=======\ntwo\n>>>>>>> {THEIRS}\nend\n".encode()


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (BEFORE, 3),
        (b"Title\n=======\none and two\nend\n", None),
        (b"Title\n=======\none\n=======\ntwo\nend\n", 2),
        (b"Title\none\n=======\ntwo\n", None),  # cannot be told from the heading that was there
        (f"Title\n=======\none\n>>>>>>> {THEIRS}\n".encode(), 4),
        (f"Title\r\n=======\r\n<<<<<<< {OURS}\r\n".encode(), 3),
        (b"<<<<<<< HEAD\n=======\n>>>>>>> main\n", None),  # as a manual of git has them
        (b"", None),
    ],
)
def test_marks_of_a_conflict_are_found_and_what_resembles_them_is_not(after: bytes, line: int | None) -> None:
    assert leftover_mark(BEFORE, after, MERGE) == line


def test_a_file_without_conflict_may_have_lines_like_the_one_between_two_sides() -> None:
    assert leftover_mark(b"", b"New\n=======\n", MERGE) is None
