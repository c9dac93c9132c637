import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.pull_request_templates import (
    MAX_TEMPLATE_CHARS,
    TemplateSection,
    part_for,
    template_sections,
)

PARTS = ("What", "Why", "Look at first", "Verification", "Files", "Policy", "Acceptance criteria", "Notes")


@pytest.mark.parametrize(
    ("heading", "part"),
    [
        ("## Description", "What"),
        ("# What does this PR do, and why?", "What"),
        ("### Proposed changes", "What"),
        ("## Why this change", "Why"),
        ("## Motivation and Context", "Why"),
        ("## Which issue(s) this PR fixes", "Why"),
        ("## Related tickets", "Why"),
        ("## How Has This Been Tested?", "Verification"),
        ("## How to test these changes", "Verification"),
        ("## Test plan", "Verification"),
        ("## Notes for reviewers", "Notes"),
        ("## Review focus", "Look at first"),
        ("## Acceptance criteria", "Acceptance criteria"),
        ("## Types of changes", None),
        ("## Checklist before requesting a review", None),
        ("## Breaking changes", None),
        ("## Screenshots", None),
        ("## \U0001f680", None),
        ("", None),
    ],
)
def test_a_heading_asks_for_the_part_that_its_first_word_names(heading: str, part: str | None) -> None:
    assert part_for(heading, PARTS) == part
    assert part_for(heading, ()) is None


def test_sections_are_by_headings_without_comments_and_code_has_none() -> None:
    text = "\ufeffHi\n# A #\n<!-- x\n## B -->text\n```\n# no heading\n- [x] code\n```\n#no\n## C\n* [x] y"
    text = text.replace("\n", "\r\n")
    assert template_sections(text) == (
        TemplateSection("", "Hi"),
        TemplateSection("# A #", "text\n```\n# no heading\n- [x] code\n```\n#no"),
        TemplateSection("## C", "* [ ] y"),
    )
    assert template_sections(text)[2].boxes == "* [ ] y"


@pytest.mark.parametrize(
    "text",
    ["", " \n", "<!-- x -->", "<!-- no end\n## A", "## A\n" * 61, "x" * (MAX_TEMPLATE_CHARS + 1), "## A\n```\nno end"],
)
def test_what_says_nothing_or_too_much_is_no_template(text: str) -> None:
    assert template_sections(text) == ()


@given(st.text(alphabet="# <!->x`\n[]*", max_size=200))
def test_any_text_has_sections_without_comments(text: str) -> None:
    for section in template_sections(text):
        assert section.heading or section.text


def test_a_long_heading_is_read_in_no_time() -> None:
    began = time.monotonic()
    assert len(template_sections("# a" + " #" * 9_000 + "x")) == 1
    assert time.monotonic() - began < 0.5
