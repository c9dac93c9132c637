from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.title_styles import (
    CONVENTIONAL_TITLES,
    PLAIN_TITLES,
    PastCommit,
    styled_title,
    title_style,
)

APP = "src/api/app.py"


def commits(*titles: str, author: str = "ann", paths: tuple[str, ...] = (APP,)) -> tuple[PastCommit, ...]:
    return tuple(PastCommit(author, title, paths) for title in titles)


def written(history: Sequence[PastCommit], title: str = "Mend add", kind: str = "fix_ci", changed: str = APP) -> str:
    return styled_title(title, kind, title_style(history, (changed,)))


TYPED = commits("feat: Add x", "fix: Mend y", "docs: Say z", "chore: Tidy", "Merge back")


@pytest.mark.parametrize(
    ("titles", "shown"),
    [
        (("feat: Add x", "fix: Mend y", "docs: Say z", "chore: Tidy", "Merge back"), "fix: Mend add"),
        (("feat: add x", "fix: mend y", "docs: say z", "chore: tidy", "test: go"), "fix: mend add"),
        (("ENH: Add x", "BUG: Mend y", "DOC: Say z", "MAINT: Tidy", "BUG: Go"), "BUG: Mend add"),
        (("ENH: Add x", "REL: Release", "DOC: Say z", "MAINT: Tidy", "TST: Go"), "FIX: Mend add"),
        (("feat(api): add x", "fix(api): mend", "docs(web): say", "fix(api): go", "test: x"), "fix(api): mend add"),
        (("feat(api): add x", "fix(web): mend", "docs(db): say", "fix(cli): go", "chore(ui): tidy"), "fix: mend add"),
        (("feat(api): Add x", "fix: mend", "docs: say", "fix: go", "chore: tidy"), "fix: mend add"),
        (("api: add x", "api: mend", "web: say", "api: go", "tidy"), "api: mend add"),
        (("[api] Add x", "[api] Mend", "[web] Say", "[api] Go", "Tidy"), "[api] Mend add"),
        (("api: add x", "db: mend", "web: say", "ui: go", "tidy"), "Mend add"),
        (("feat: Add x", "fix: Mend y", "Say z", "Tidy", "Merge back"), "Mend add"),
        (("feat: Add x", "fix: Mend y", "fix: Go", "fix: On"), "Mend add"),
        (("See: this", "Note: that", "Hint: x", "Warning: y", "Re: z"), "Mend add"),
        (("ABC-1: Add", "ABC-2: Mend", "ABC-3: Say", "ABC-4: Go", "ABC-5: On"), "Mend add"),
        ((), "Mend add"),
    ],
)  # fmt: skip
def test_a_title_begins_as_the_history_has_it(titles: tuple[str, ...], shown: str) -> None:
    assert written(commits(*titles)) == shown


def test_the_history_of_the_same_files_counts_for_scope_and_area() -> None:
    api = commits("api: a", "api: b", "api: c", paths=("api/x.go",))
    web = commits("web: a", "web: b", "web: c", "web: d", paths=("web/y.go", "web/z.go"))
    assert written((*api, *web), changed="api/x.go") == "api: mend add"
    assert written((*api, *web), changed="web/z.go") == "web: mend add"
    assert written((*api, *web), changed="api/new.go") == "api: mend add", "a new file counts with its folder"
    assert written((*api, *web), changed="other/new.go") == "Mend add"


def test_what_robots_write_is_no_convention() -> None:
    robots = [
        commits(*(f"chore(deps): bump x to {n}" for n in range(9)), author=name)
        for name in ("dependabot[bot]", "renovate", "squire")
    ]
    assert written([commit for history in robots for commit in history]) == "Mend add"
    assert written([*(commit for history in robots for commit in history), *TYPED]) == "fix: Mend add"


@pytest.mark.parametrize(
    ("title", "kind", "shown"),
    [
        ("Mend add", "fix_ci", "fix: Mend add"),
        ("feat(api)!: add it", "resolve_issue", "feat(api)!: add it"),
        ("BUG: add it", "resolve_issue", "BUG: add it"),
        ("{task} {body}", "manual", "chore: {task} {body}"),
    ],
)
def test_a_conventional_title_has_a_type_once(title: str, kind: str, shown: str) -> None:
    assert styled_title(title, kind, CONVENTIONAL_TITLES) == shown


@pytest.mark.parametrize("title", ["README is wrong", "OAuth fails", "I see nothing", "A b", "été", ""])
def test_a_name_keeps_its_letters(title: str) -> None:
    small = commits("feat: add x", "fix: mend y", "docs: say z", "chore: tidy", "test: go")
    assert written(small, title) == f"fix: {title}"


@given(st.lists(st.builds(PastCommit, st.text(max_size=9), st.text(max_size=40), st.just((APP,))), max_size=30))
def test_any_history_leaves_the_title_whole(history: list[PastCommit]) -> None:
    shown = written(history)
    assert shown.lower().endswith("mend add")
    assert len(shown) < 150


def test_a_plain_title_stays_as_it_is() -> None:
    assert styled_title("Mend add", "fix_ci", PLAIN_TITLES) == "Mend add"
