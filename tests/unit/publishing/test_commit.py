import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.domain.title_styles import CONVENTIONAL_TITLES
from squire_pipelines.publishing.commit import MAX_SUBJECT_CHARS, commit_message, commit_subject
from squire_pipelines.publishing.request import PublishRequest, TextStyle
from tests.support.git_repository import git
from tests.support.hostile_text import hidden_characters

SPEC = TaskSpec(key="k", title="Mend add", prompt="Mend it.", base_branch="main")
REQUEST = PublishRequest(
    attempt_id="t1-1",
    task_id="t1",
    trace_id="f" * 32,
    queued_at=datetime(2026, 1, 2, tzinfo=UTC),
    repository="acme/app",
    clone_url="/app",
    base_ref="main",
    base_sha="a" * 40,
    branch="squire/t1",
    bundle=Path("/bundle"),
    scratch=Path("/scratch"),
    spec=SPEC,
)
# What GitHub, a continuous integration or git itself acts upon in a message's first line.
ACTIVE = re.compile(r"[\[\]*@#!<>`|\\~^{}$]|://|(?<![a-z0-9_])gh-\d|[^\S ]", re.IGNORECASE)
ORDER = re.compile(r"\b(?i:clos|fix).*(?<![A-Za-z0-9_])[A-Z][A-Z0-9]{0,20}-\d")
PIECES = st.sampled_from(
    (
        "[skip ci]",
        "[ci skip]",
        "[no ci]",
        "[skip actions]",
        "[skip netlify]",
        "[CF-Pages-Skip]",
        "***NO_CI***",
        "@octocat",
        "Fixes #1",
        "closes GH-2",
        "Fixes ENG-123",
        "https://github.com/a/b/issues/3",
        "fixup! x",
        "\nSigned-off-by: x <x@x>",
        "\u202e\x1b[2J",
        "\u3164",
        "\u2028",
        "\U000e0041",
        "\U000e0141\ufe0f\u180b",
        "\u034f",
        "éGH-3",
        "Grüße",
        "日本語",
        "\u0645\u06cc\u200c\u062e",
        "skip-checks: true",
        " " * 90,
    )
)


@given(st.lists(PIECES | st.text(max_size=20), max_size=8).map("".join))
def test_nothing_of_a_title_acts_in_a_commits_message(title: str) -> None:
    subject = commit_subject(title)
    assert len(subject) <= MAX_SUBJECT_CHARS
    assert not ACTIVE.search(subject), subject
    assert not ORDER.search(subject), subject
    assert hidden_characters(subject) == []
    assert subject == commit_subject(subject)


@pytest.mark.parametrize(
    ("title", "subject"),
    [
        ("Mend add", "Mend add"),
        ("Resolve #7: the total's 10% off (again)", "Resolve 7: the total's 10% off (again)"),
        ("Grüße, 日本語", "Grüße, 日本語"),
        ("Fixes https://github.com/acme/app/issues/8", "Fixes https github.com/acme/app/issues/8"),
        ("--amend", "amend"),
        ("Read UTF-16 and ENG-12", "Read UTF-16 and ENG-12"),
        ("Fixes (ENG-12)", "Fixes (ENG 12)"),
        ("fix eng-123", "fix eng 123"),
        ("x" * 100, "x" * 72),
    ],
)
def test_an_ordinary_title_is_the_subject(title: str, subject: str) -> None:
    assert commit_subject(title) == subject


def test_a_message_without_a_word_of_the_title_names_the_task() -> None:
    message = commit_message(replace(REQUEST, spec=SPEC.model_copy(update={"title": "[@#]"})))
    assert message.startswith("Work on task t1\n\nMade by task t1, attempt t1-1, under the trace id ffff")


def test_a_template_of_commits_is_cleaned_with_the_title() -> None:
    request = replace(REQUEST, style=TextStyle(titles=CONVENTIONAL_TITLES, commit="[skip ci] {title} ({kind})"))
    assert commit_message(request).partition("\n")[0] == "skip ci chore: Mend add (other)"


def test_a_sign_off_is_the_authors_own_trailer_and_only_where_it_is_set() -> None:
    request = replace(REQUEST, bot_name="Ann Roe", bot_email="ann@example.org")
    assert "Signed-off-by" not in commit_message(request)
    message = commit_message(replace(request, style=TextStyle(is_signed_off=True)))
    trailers = git(Path("/"), "interpret-trailers", "--parse", stdin=message.encode())
    assert trailers == "Signed-off-by: Ann Roe <ann@example.org>"
    assert message.startswith(commit_message(request))
