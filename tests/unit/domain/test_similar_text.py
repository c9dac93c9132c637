"""Nearly the same work by its words: a floor on labelled pairs, and what tells two works apart."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.similar_text import WorkText, is_same_work, similarity
from tests.support.near_duplicates import HELD_OUT, TUNED, read_pairs, score

WORDS = ["cache", "fix", "the", "login", "of", "parser/", "3.12", "not", "add", "Unit_tests", "é", "--dry-run", "#12"]
titles = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join))
works = st.builds(WorkText, titles, st.one_of(st.just(""), st.text(max_size=200), titles))


@pytest.mark.parametrize("part", [TUNED, HELD_OUT])
def test_labelled_pairs_are_told_apart_with_a_precision_and_a_recall_of_at_least(part: str) -> None:
    result = score(is_same_work, part)
    assert result.precision >= 0.95
    assert result.recall >= 0.55


def test_there_are_enough_pairs_of_both_sorts_and_none_twice() -> None:
    pairs = read_pairs()
    assert len(pairs) >= 120
    assert min(Counter(pair.same for pair in pairs).values()) >= 60
    assert len({(pair.first, pair.second) for pair in pairs}) == len(pairs)
    assert {pair.part for pair in pairs} == {TUNED, HELD_OUT}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Bump lodash to 4.17.21", "Bump lodash to 4.17.22"),
        ("Split core/graph.py into modules", "Split core/render.py into modules"),
        ("Handle error E1042 in the importer", "Handle error E2007 in the importer"),
        ("Sign the installer for Windows", "Sign the installer for macOS"),
        ("Enable telemetry by default", "Disable telemetry by default"),
        ("Lock the accounts of former members", "Unlock the accounts of former members"),
        ("Cache responses with a Vary header", "Never cache responses with a Vary header"),
        ("Document the audit log", "Build the audit log"),
        ("Rate limit the search endpoint", "Rate limit the upload endpoint"),
        ("Fix it", "Fix them"),
        ("Cache die Antworten der API im Client", "Cache die Antworten der API nicht im Client"),
    ],
)
def test_one_difference_that_counts_makes_other_work_of_it(first: str, second: str) -> None:
    assert similarity(WorkText(first), WorkText(second)) == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Upgrade requests to 2.32", "chore(deps): bump requests from 2.31 to 2.32.1"),
        ("Resolve #41: Dark mode resets after reload", "Dark mode is reset on page reload"),
        ("Write a tutorial for plugin authors", "Plugin authors need a tutorial"),
        ("Memory leak in the websocket handler", "Memroy leaks in web socket handler"),
        ("?!", "?!"),
        ("Fix it", "Fix it"),
    ],
)
def test_another_wording_is_the_same_work(first: str, second: str) -> None:
    assert is_same_work(WorkText(first), WorkText(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("为用户设置页面添加深色模式支持", "为用户设置页面添加浅色模式支持"),
        ("キャッシュを有効にする", "キャッシュを無効にする"),
        ("\u0412ключить кеш страниц", "\u0412ыключить кеш страниц"),
    ],
)
def test_words_of_other_scripts_are_compared_as_they_are(first: str, second: str) -> None:
    assert not is_same_work(WorkText(first), WorkText(second))
    assert is_same_work(WorkText(first), WorkText(first, "?"))


def test_a_long_text_with_every_word_in_it_is_not_the_same_work() -> None:
    short = WorkText("Rotate the signing key of webhooks")
    long = WorkText("Write the handbook", "rotate the signing key of webhooks " * 100)
    assert not is_same_work(short, long)


@given(first=works, second=works)
def test_any_two_texts_have_a_similarity_between_0_and_1_which_is_the_same_both_ways(
    first: WorkText, second: WorkText
) -> None:
    assert 0 <= similarity(first, second) <= 1
    assert similarity(first, second) == similarity(second, first)


@given(work=works)
def test_a_text_that_says_anything_is_the_same_work_as_itself(work: WorkText) -> None:
    assert is_same_work(work, work) == bool(work.text.strip())
