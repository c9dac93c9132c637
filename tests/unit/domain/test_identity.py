"""Names and identifiers."""

import re
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain import identity

moments = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(3000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("acme/shop", "acme/shop"),
        ("  acme/shop\n", "acme/shop"),
        ("acme/shop/", "acme/shop"),
        ("acme/shop.git", "acme/shop"),
        ("A-c-1/S_h.o-p", "A-c-1/S_h.o-p"),
        ("a/b", "a/b"),
        ("a/.github", "a/.github"),
        ("x" * 39 + "/" + "y" * 100, "x" * 39 + "/" + "y" * 100),
        ("https://github.com/acme/shop", "acme/shop"),
        ("https://github.com/acme/shop/", "acme/shop"),
        ("https://github.com/acme/shop.git", "acme/shop"),
        ("https://github.com/acme/shop/pull/7", "acme/shop"),
        ("https://github.com/acme/shop?tab=readme-ov-file", "acme/shop"),
        ("https://github.com/acme/shop.git?x#y", "acme/shop"),
        ("https://github.com/acme/shop#readme", "acme/shop"),
        ("http://ghe.example.org:8443/acme/shop/issues", "acme/shop"),
        ("git@github.com:acme/shop.git", "acme/shop"),
        ("ssh://git@github.com/acme/shop.git", "acme/shop"),
    ],
)
def test_a_repository_is_named_in_the_ways_that_people_write_it(text: str, name: str) -> None:
    assert identity.parse_repository(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "/shop",
        "acme/",
        "acme/shop/tree",
        "-acme/shop",
        "ac me/shop",
        "acme/sh op",
        "acme/shöp",
        "acme/.",
        "acme/..",
        "acme/.git",
        "acme/shop\nacme/other",
        "../shop",
        "x" * 40 + "/y",
        "x/" + "y" * 101,
        "https://github.com/acme",
        "https://github.com",
        "acme/shop?x",
        "acme/shop;rm -rf",
    ],
)
def test_what_is_no_repository_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="expected owner/name") as caught:
        identity.parse_repository(text)
    assert repr(text) in str(caught.value)


@given(st.text(max_size=60))
def test_a_parsed_name_parses_to_itself_and_is_safe_in_a_path(text: str) -> None:
    try:
        name = identity.parse_repository(text)
    except ValueError:
        return
    assert identity.parse_repository(name) == name
    owner, _, repository = name.partition("/")
    assert re.fullmatch(r"[A-Za-z0-9-]+", owner)
    assert repository not in {"", ".", ".."}
    assert "/" not in repository


@given(moments, st.integers(min_value=1, max_value=10**9))
def test_ids_sort_by_the_time_of_their_birth(moment: datetime, later_ms: int) -> None:
    later = moment + timedelta(milliseconds=later_ms + 1)
    assert identity.new_id("t", moment) < identity.new_id("t", later)


@given(moments)
def test_ids_fit_a_branch_a_label_and_a_container_name(moment: datetime) -> None:
    assert re.fullmatch(r"t[0-9a-hjkmnp-tv-z]{14}", identity.new_id("t", moment))


@given(st.lists(st.integers(min_value=0, max_value=3), max_size=200))
def test_no_two_ids_of_a_process_are_the_same_whatever_its_clock_says(milliseconds: list[int]) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    ids = [identity.new_id("t", start + timedelta(milliseconds=offset)) for offset in milliseconds]
    assert len(set(ids)) == len(ids)


def test_many_ids_of_one_millisecond_that_threads_make_at_once_differ() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)

    def make_ids(_thread: int) -> list[str]:
        return [identity.new_id("t", now) for _ in range(10_000)]

    with ThreadPoolExecutor(4) as pool:
        ids = [made for batch in pool.map(make_ids, range(4)) for made in batch]
    assert len(set(ids)) == 40_000


def test_a_forked_process_goes_on_with_numbers_of_its_own() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    script = """
        import os
        from datetime import UTC, datetime
        from squire_pipelines.domain.identity import new_id
        now = datetime(2026, 3, 1, tzinfo=UTC)
        new_id("t", now)
        child = os.fork()
        if child != 0:
            os.waitpid(child, 0)
        print(new_id("t", now), flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=30, check=True
    )
    childs, parents = done.stdout.split()
    assert parents != childs
    assert parents[:10] == childs[:10] == identity.new_id("t", now)[:10]


def test_trace_ids_are_32_hexadecimal_digits_and_differ() -> None:
    first, second = identity.new_trace_id(), identity.new_trace_id()
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert first != second


def test_an_attempts_id_follows_from_its_task_and_number() -> None:
    assert identity.attempt_id("t123", 2) == "t123-2"


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("Fix the door!", "fix-the-door"),
        ("  --a__b--  ", "a-b"),
        ("Ümläut", "ml-ut"),
        ("日本", "task"),
        ("", "task"),
        ("a" * 39 + " b", "a" * 39),
    ],
)
def test_a_title_becomes_a_part_of_a_branch(text: str, slug: str) -> None:
    assert identity.slugify(text) == slug


@given(st.text(max_size=300), st.integers(min_value=1, max_value=80))
def test_a_slug_is_never_empty_too_long_or_strange(text: str, limit: int) -> None:
    slug = identity.slugify(text, limit=limit)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert len(slug) <= max(limit, len("task"))


def test_a_tasks_branch_is_the_same_at_every_attempt() -> None:
    assert identity.branch_name("t1", "Fix it") == identity.branch_name("t1", "Fix it") == "squire/t1-fix-it"


@given(st.text(max_size=300))
def test_a_tasks_branch_is_never_another_branch(title: str) -> None:
    task_id = identity.new_id("t", datetime(2026, 11, 22, tzinfo=UTC))
    assert re.fullmatch(rf"squire/{task_id}-[a-z0-9-]+", identity.branch_name(task_id, title))
