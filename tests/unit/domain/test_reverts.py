import pytest

from squire_pipelines.domain.reverts import (
    PullWords,
    commits_reverted_in,
    is_restored,
    read_base_reverts,
    reverted_pulls,
    reverting_commit,
)

COMMIT = "c" * 40


def commit(letter: str, *reverted: str) -> tuple[str, str]:
    words = "".join(f"This reverts commit {name * 40}.\n" for name in reverted)
    return letter * 40, f"Revert it\n\n{words}"


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        ("Reverts o/r#7", (7,)),
        ("Reverts O/R#7\r\n\r\nIt broke the build.", (7,)),
        ("Reverts #7.\nReverts #8", (7, 8)),
        ("<!-- please fill in -->\n\nReverts #7", (7,)),
        ("It broke the build.\n\nReverts #7", (7,)),
        ("```\ncode\n```\nReverts #7", (7,)),
        ("Reverts #7, but for its tests", ()),
        ("Reverts other/repo#7", ()),
        ("> Reverts #7", ()),
        ("> It was said\nReverts #7", ()),
        ("```\nReverts #7\n```", ()),
        ("````\n```\nReverts #7", ()),
        ("    Reverts #7", ()),
        ("`Reverts #7`", ()),
        ("<pre>\nReverts #7\n</pre>", ()),
        ("<!--\nReverts #7\n-->", ()),
        ("<!--\nReverts #7", ()),
        ("This reverts commit abc.", ()),
        ("", ()),
    ],
)
def test_a_revert_is_a_line_of_the_authors_own(body: str, numbers: tuple[int, ...]) -> None:
    assert reverted_pulls(PullWords('Revert "It"', body, "topic"), "o/r") == numbers


@pytest.mark.parametrize(
    ("title", "head_ref", "numbers"),
    [("Write the notes", "notes", ()), ("Write the notes", "revert-7-x", (7,)), ("revert: the cache", "x", (7,))],
)
def test_a_line_below_others_needs_a_title_or_a_branch_that_says_so(
    title: str, head_ref: str, numbers: tuple[int, ...]
) -> None:
    words = PullWords(title, "What changed since:\n\nReverts #7", head_ref)
    assert reverted_pulls(words, "o/r") == numbers
    first = PullWords(title, "Reverts #7\n\nAnd more.", head_ref)
    assert reverted_pulls(first, "o/r") == (7,)


def test_reverts_are_read_in_gits_own_words_alone() -> None:
    message = f'Revert "One"\n\nThis reverts commit {COMMIT}, reversing\nchanges made to {"d" * 40}.\n'
    assert commits_reverted_in(message) == (COMMIT,)
    assert commits_reverted_in(f"Say that This reverts commit {COMMIT}") == ()
    assert commits_reverted_in("This reverts commit cccccc.") == ()


def test_a_revert_that_was_taken_back_holds_no_more_and_the_merge_is_restored() -> None:
    ways = [(COMMIT,)]
    first, second, third = commit("a", "c"), commit("b", "a"), commit("e", "b")
    once = read_base_reverts([first])
    assert (reverting_commit(ways, once), is_restored(ways, once)) == ("a" * 40, False)
    twice = read_base_reverts([second, first])
    assert (reverting_commit(ways, twice), is_restored(ways, twice)) == (None, True)
    thrice = read_base_reverts([third, second, first])
    assert (reverting_commit(ways, thrice), is_restored(ways, thrice)) == ("a" * 40, False)
    assert not is_restored(ways, read_base_reverts([])), "nothing was ever taken back"


def test_a_revert_of_one_of_several_commits_is_no_revert_of_the_merge() -> None:
    series = [("2" * 40, "1" * 40)]
    assert reverting_commit(series, read_base_reverts([commit("a", "2")])) is None
    assert not is_restored(series, read_base_reverts([commit("a", "2")]))
    assert reverting_commit(series, read_base_reverts([commit("b", "1"), commit("a", "2")])) == "a" * 40
    assert reverting_commit(series, read_base_reverts([commit("a", "1", "2")])) == "a" * 40
    restored = read_base_reverts([commit("d", "b"), commit("b", "1"), commit("a", "2")])
    assert is_restored(series, restored), "one of them is in the base again"


def test_a_merge_commit_is_taken_back_by_itself_or_by_all_that_it_brought() -> None:
    ways = [(COMMIT,), ("2" * 40, "1" * 40)]
    assert reverting_commit(ways, read_base_reverts([commit("a", "c")])) == "a" * 40
    assert reverting_commit(ways, read_base_reverts([commit("a", "1")])) is None
    assert reverting_commit(ways, read_base_reverts([commit("a", "1"), commit("b", "2")])) == "b" * 40
