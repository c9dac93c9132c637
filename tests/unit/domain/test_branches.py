import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.branches import (
    DEFAULT_BRANCH,
    MAX_OWN_BRANCH_CHARS,
    OWN_BRANCHES,
    base_name,
    branch_in_the_way,
    is_branch_name,
    is_own_branch,
    parse_branch,
    parse_own_branch,
    parse_prefix,
)
from tests.support.branches import NO_NAMES, UNUSUAL

_PARTS = st.sampled_from(
    [
        "a",
        "-",
        ".",
        "..",
        "/",
        "@",
        "{",
        "}",
        ".lock",
        "HEAD",
        "~",
        "^",
        ":",
        "?",
        "*",
        "[",
        "]",
        "\\",
        " ",
        "\x7f",
        "+",
    ]
)


def git_takes(name: str) -> bool:
    command = ["git", "check-ref-format", "--branch", name]
    # Outside of any repository: in one, `@{-1}` is the branch that was checked out before.
    return subprocess.run(command, cwd="/", capture_output=True, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("name", UNUSUAL)
def test_a_name_that_git_takes_is_one(name: str) -> None:
    assert git_takes(name)
    assert is_branch_name(name)
    assert parse_branch(name) == name


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_text_that_git_takes_for_no_name_is_refused(name: str) -> None:
    assert not git_takes(name)
    assert not is_branch_name(name)
    with pytest.raises(ValueError, match="is no name for a branch"):
        parse_branch(name)


def test_a_half_of_a_character_is_in_no_name() -> None:
    assert not is_branch_name("a\ud83d")


@given(
    st.lists(_PARTS, max_size=5).map("".join)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
)
def test_the_rule_is_gits(name: str) -> None:
    assert is_branch_name(name) == git_takes(name)


def test_the_default_branch_is_named_by_what_no_branch_can_be_called() -> None:
    assert not is_branch_name(DEFAULT_BRANCH)
    assert base_name(DEFAULT_BRANCH) == "the default branch"
    assert base_name("main") == "main"


@given(st.text(max_size=130))
def test_a_tasks_branch_begins_as_ours_do_whatever_a_person_calls_it(text: str) -> None:
    try:
        name = parse_own_branch(text)
    except ValueError:
        return
    assert name.startswith(OWN_BRANCHES)
    assert is_branch_name(name)
    assert len(name) <= MAX_OWN_BRANCH_CHARS
    assert parse_own_branch(name) == name


@pytest.mark.parametrize(
    ("branches", "obstacle"),
    [
        (("main", "squire"), "squire"),
        (("main", "squire/t1-x/y"), "squire/t1-x/y"),
        (("main", "squire/t1-x"), None),
        (("main", "squire/t1", "squire-x", "squire/t1-xy", "x/squire", "squire/t2/y"), None),
        ((), None),
    ],
)
def test_a_branch_that_is_a_folder_of_another_is_in_the_way(branches: tuple[str, ...], obstacle: str | None) -> None:
    assert branch_in_the_way("squire/t1-x", branches) == obstacle


@pytest.mark.parametrize("prefix", ["squire/", "bots/squire/", "squire-", "a_", "Ü/"])
def test_own_branches_may_begin_with_what_ends_in_a_sign_between_words(prefix: str) -> None:
    assert parse_prefix(prefix) == prefix
    assert parse_own_branch("x", prefix) == f"{prefix}x" == parse_own_branch(f"{prefix}x", prefix)
    assert is_own_branch(f"{prefix}x", prefix)
    assert is_own_branch("squire/x", prefix), "from before the prefix was set"
    assert not is_own_branch("main", prefix)


@pytest.mark.parametrize("prefix", ["", "squire", "/", "-", "a b/", "a//", "x" * 40 + "/", "a..b/", ".a/"])
def test_anything_else_is_no_prefix(prefix: str) -> None:
    with pytest.raises(ValueError, match="nothing that branches can begin with"):
        parse_prefix(prefix)
