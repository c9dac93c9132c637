"""Numbers of things in words."""

import pytest

from squire_pipelines.domain.plurals import counted


@pytest.mark.parametrize(
    ("count", "nouns", "text"),
    [
        (1, ("task",), "1 task"),
        (0, ("task",), "0 tasks"),
        (1, ("delivery", "deliveries"), "1 delivery"),
        (2, ("delivery", "deliveries"), "2 deliveries"),
    ],
)
def test_a_number_agrees_with_its_noun(count: int, nouns: tuple[str, ...], text: str) -> None:
    assert counted(count, *nouns) == text
