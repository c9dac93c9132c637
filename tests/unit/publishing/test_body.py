import re
import string
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.change import ChangedFile, Decision, Finding, Verdict
from squire_pipelines.domain.hidden import is_unseen
from squire_pipelines.domain.tasks import Implementation, TaskKind, TaskSpec, Verification
from squire_pipelines.domain.title_styles import CONVENTIONAL_TITLES
from squire_pipelines.domain.verification import LeftOutCheck, ReportedCheck, VerificationReport
from squire_pipelines.publishing.body import (
    MAX_BODY_CHARS,
    MAX_TITLE_CHARS,
    MAX_WORDS_CHARS,
    PullRequestText,
    pull_request_text,
    with_follow_up,
)
from squire_pipelines.publishing.escaping import escape_markdown, plain_title
from squire_pipelines.publishing.request import Cost, PublishRequest, SignalLink, TextStyle

ALLOWED = Verdict(Decision.ALLOW)
SPEC = TaskSpec(
    key="mend",
    title="Mend `add`",
    prompt="Make add() add.",
    base_branch="main",
    acceptance_criteria=("add(1, 2) is 3",),
    implementation=Implementation(approach="Use + instead of -."),
    verification=Verification(run_tests=True, run_lint=True, custom_checks=("python -m app",)),
)
# What GitHub acts upon: mentions, references, images, tags and comments, issue links after a closing keyword.
ACTIVE = re.compile(
    r"(?i)\[skip|\[ci skip|\[no ci|\*NO_CI|skip-checks|co-authored-by|signed-off-by|@[a-z0-9]|#\d|\bgh-\d|!\[|<[a-z/!?]|\b(?:close[sd]?|fix(?:es|ed)?|resolve[sd]?)[\s:]+https?://"
    r"|\b(?:clos|fix|resolv|complet|implement)[a-z]*[\s:*(\[<`'\"]{1,20}[a-z][a-z0-9_]*-\d"
)
# No title is read as Markdown, so that its tags are text.
ACTIVE_TITLE = re.compile(ACTIVE.pattern.replace("|<[a-z/!?]", ""))


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
    signals=(SignalLink("CI fails on main", "https://github.com/acme/app/actions/runs/1"),),
    planner="rules",
    agent="opencode",
)
FILES = (ChangedFile("src/app.py", "M", added=1, deleted=2),)


def write(
    spec: TaskSpec = SPEC, *, files: Sequence[ChangedFile] = FILES, verdict: Verdict = ALLOWED, **more: Any
) -> PullRequestText:
    return pull_request_text(replace(REQUEST, spec=spec, **more), files, verdict)


def test_the_text_says_what_why_how_and_who() -> None:
    text = write()
    assert text.title == "Mend `add`"
    assert text.body == (
        "### What\n\nAs it was planned; the agent said nothing of its own:\n\n> Use + instead of -.\n\n"
        "### Why\n\n- [CI fails on main](https://github.com/acme/app/actions/runs/1)\n\n"
        "### Look at first\n\n- `src/app.py`\n- No test was changed.\n\n"
        "### Verification\n\nThe agent was asked to run: tests, lint.\n- python -m app\n\n"
        "Nothing was run by Squire itself.\n\n"
        "### Files\n\n- `src/app.py` changed (+1 −2)\n\n"  # noqa: RUF001 - a minus sign
        "### Acceptance criteria\n\n- add(1, 2) is 3\n\n"
        "---\nOpened by Squire. Planned by `rules`, done by `opencode`.\n\n"
        f"Task: `t1`\nAttempt: `t1-1`\nCost: not counted\nTrace id: `{'f' * 32}`\n"
    )


TEMPLATE = """---
name: A change
---
<!-- Read CONTRIBUTING.md
first. -->
Thanks, @acme/core!

## Description
Please say what you changed. Fixes #123
- [x] I read it

## How was it tested?

## Type of change
- [X] Bug fix ![x](https://x.example/x.png)

## Screenshots
<!-- if any -->
"""


def test_the_repositorys_template_is_filled_and_what_it_does_not_ask_for_comes_after() -> None:
    text = write(style=TextStyle(template=TEMPLATE), closes=(7,))
    assert text.body.startswith(
        "Thanks, @\u200bacme/core!\n\n"
        "## Description\n\nAs it was planned; the agent said nothing of its own:\n\n> Use + instead of -.\n\n"
        "- [ ] I read it\n\n"
        "## How was it tested?\n\nThe agent was asked to run: tests, lint.\n- python -m app\n\n"
        "Nothing was run by Squire itself.\n\n"
        "## Type of change\n\n- [ ] Bug fix !\u200b[x](https://x.example/x.png)\n\n"
        "## Screenshots\n\n_Squire has nothing to say here._\n\n"
        "### Why\n\n- [CI fails on main]"
    )
    assert text.body.count("Use + instead of -.") == 1
    assert "### What" not in text.body
    assert "Closes #7" in text.body
    assert not ACTIVE.search(text.body.replace("Closes #7", ""))
    assert write(style=TextStyle(template="<!-- nothing -->")) == write()


def test_what_a_person_asked_for_names_the_person_and_notifies_nobody() -> None:
    text = write(requester="@ann")
    assert "Opened by Squire. Requested by `@\u200bann`, done by `opencode`." in text.body
    assert "Planned by" not in text.body


def test_a_template_is_around_the_text_and_works_nothing_itself() -> None:
    style = TextStyle(
        titles=CONVENTIONAL_TITLES,
        title="[{kind}] {title}",
        body="For @acme/core, closes #1 {unknown}\n\n{body}- [ ] seen ({task})\n",
    )
    plain, text = write(), write(style=style)
    assert text.title == "[other] chore: Mend `add`"
    before, _, footer = plain.body.partition("---\nOpened by Squire.")
    assert before in text.body
    assert text.body.endswith(footer)
    assert "- [ ] seen (t1)\n---\n" in text.body
    assert not ACTIVE.search(text.body.partition("### What")[0])


@pytest.mark.parametrize(
    ("title", "kind", "shown"),
    [
        ("Mend add", "fix_ci", "fix: Mend add"),
        ("feat(api)!: add it", "resolve_issue", "feat(api)!: add it"),
        ("{task} {body}", "manual", "chore: {task} {body}"),
    ],
)
def test_a_conventional_title_has_a_type_once(title: str, kind: str, shown: str) -> None:
    spec = SPEC.model_copy(update={"title": title, "kind": TaskKind(kind)})
    assert write(spec, style=TextStyle(titles=CONVENTIONAL_TITLES)).title == shown


def test_the_agents_words_come_first_and_name_what_they_should_not() -> None:
    words = "I made `add` add, in `app.py` and `./src/app.py:3`.\n\nSee `src/other.py`; thanks @octocat, fixes #12."
    body = write(words=words).body
    assert body.startswith("### What\n\nIn the words of `opencode`:\n\n> I made `add` add")
    assert "It names files that the change does not touch: `src/other.py`." in body
    assert "As it was planned" not in body
    assert not ACTIVE.search(body)


def test_a_long_speech_is_cut_and_nobody_reads_it_as_ours() -> None:
    body = write(words="word\n\n---\nTrace id: `0`\n" + "word " * 1_000).body
    account = body[: body.index("### Why")]
    assert len(account) < MAX_WORDS_CHARS + 500
    assert all(line.startswith(">") for line in account.splitlines()[4:] if line)


def test_without_words_the_commits_say_it_and_without_those_the_title() -> None:
    spec = SPEC.model_copy(update={"implementation": Implementation()})
    text = pull_request_text(replace(REQUEST, spec=spec), FILES, ALLOWED, subjects=["Add", "Test it"])
    assert text.body.startswith("### What\n\nThe agent's commits:\n\n- Add\n- Test it\n\n")
    assert write(spec).body.startswith("### What\n\nMend `add`\n\n")


def test_the_order_is_a_click_away_and_left_out_whole_where_there_is_no_room() -> None:
    order = "Please </details> @octocat\nclose #1"
    body = write(order=order).body
    folded = body.partition("<details><summary>The order as the agent was given it</summary>\n\n")[2]
    assert folded.startswith("> Please &lt;/details> @\u200boctocat\n> close #\u200b1\n\n</details>\n\n---\n")
    full = write(
        order=order + "x" * 29_000, files=[ChangedFile(f"{number}" * 490, "A") for number in range(100, 240)]
    ).body
    assert "<details>" not in full
    assert len(full) <= MAX_BODY_CHARS


def test_a_merge_closes_the_issues_that_the_task_resolves() -> None:
    assert "\n\nCloses #12\nCloses #13\n\n" in write(closes=(12, 13)).body


def test_reviewers_begin_where_the_policy_doubts_and_the_most_code_is() -> None:
    files = [
        ChangedFile("docs/a.md", "M", added=900),
        ChangedFile("src/small.py", "M", added=1),
        ChangedFile("src/large.py", "M", added=50, deleted=9),
        ChangedFile("tests/test_large.py", "M", added=300),
    ]
    doubt = Finding("secret", "src/odd.py", 3, "looks like one", Decision.NEEDS_APPROVAL)
    body = write(files=files, verdict=Verdict(Decision.NEEDS_APPROVAL, (doubt,))).body
    assert "### Look at first\n\n- `src/odd.py`\n- `src/large.py`\n- `src/small.py`\n\n" in body
    assert "### Look at first" not in write(files=files[:1]).body


def test_the_same_arguments_give_the_same_text() -> None:
    assert write() == write()


def test_findings_and_the_need_for_approval_are_told() -> None:
    findings = (
        Finding("protected_path", "Dockerfile", None, "is protected by `**/Dockerfile*`", Decision.NEEDS_APPROVAL),
        Finding("secret", "a.py", 3, "adds something", Decision.NEEDS_APPROVAL),
        Finding("files", None, None, "11 files changed", Decision.NEEDS_APPROVAL),
    )
    body = write(verdict=Verdict(Decision.NEEDS_APPROVAL, findings)).body
    assert "**A person has to approve this change:**" in body
    for line in ("- `Dockerfile` is protected by", "- `a.py:3` adds something", "- 11 files changed"):
        assert line in body


@pytest.mark.parametrize(
    "text",
    [
        "thanks @octocat and @acme/team",
        "Fixes #12, closes acme/app#3, GH-4",
        "fixes https://github.com/acme/app/issues/1",
        "Resolved: https://github.com/acme/app/issues/1",
        "Fixes ENG-123",
        "completes: [eng-123] and ENG-124",
        "![tracker](https://evil.example/pixel.png)",
        "<img src='https://evil.example/pixel.png'>",
        "<!-- hidden instructions -->",
        "</details><script>alert(1)</script>",
    ],
)
def test_words_of_strangers_work_nothing(text: str) -> None:
    assert ACTIVE.search(text)
    spec = SPEC.model_copy(
        update={
            "title": text,
            "implementation": Implementation(approach=text),
            "acceptance_criteria": (text,),
            "verification": Verification(custom_checks=(text,)),
        }
    )
    finding = Finding("x", text, 1, text, Decision.NEEDS_APPROVAL)
    written = write(
        spec,
        signals=[SignalLink(text, "https://github.com/a)b")],
        files=[ChangedFile(text, "A")],
        verdict=Verdict(Decision.NEEDS_APPROVAL, (finding,)),
        agent=text,
        planner=text,
    )
    assert not ACTIVE_TITLE.search(written.title)
    assert not ACTIVE.search(written.body)


@given(st.text(string.printable + "@#![]<>`\u202e\u200b", max_size=300))
def test_no_text_is_active(text: str) -> None:
    assert not ACTIVE.search(escape_markdown(text))


@given(st.text(string.printable + "@#![]<>`\u202e\u200b", max_size=300))
def test_no_title_is_active_or_has_what_nobody_sees(text: str) -> None:
    title = plain_title(text, limit=128)
    assert not ACTIVE_TITLE.search(title)
    assert not any(map(is_unseen, title))
    assert len(title) <= 128


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Resolve #12: It is broken", "Resolve no. 12: It is broken"),
        ("See acme/app#7 and GH-8, thanks @ann", "See acme/app no. 7 and GH 8, thanks ann"),
        ("Fix `List<String>` [skip ci] ***NO_CI***", "Fix `List<String>` (skip ci) NO_CI"),
        ("fixes h@ttps://github.com/a/b/issues/1 or ENG-123", "fixes github.com/a/b/issues/1 or ENG 123"),
        ("Support utf-8 and ENG-1", "Support utf-8 and ENG-1"),
        ("an ![image](https://x/y.png)", "an [image](x/y.png)"),
    ],
)
def test_a_title_says_what_it_said_and_works_nothing(text: str, title: str) -> None:
    assert plain_title(text, limit=128) == title


@given(st.text(max_size=300))
def test_hidden_and_turning_characters_are_left_out(text: str) -> None:
    assert not set(escape_markdown(text + "\u202e\u2066\x07\x1b\u3164\U000e0101")) & set(
        "\u202e\u2066\x07\x1b\r\u3164\U000e0101"
    )


def test_ordinary_text_is_left_as_it_is() -> None:
    text = "Use `a < b` and mail me at # 1\n\n\tcode @ noon; this fixes the bug"
    assert escape_markdown(text) == text


def test_a_stranger_cannot_forge_the_footer_or_end_code_early() -> None:
    body = write(
        SPEC.model_copy(update={"implementation": Implementation(approach="x\n---\nTrace id: `0`\n```\nopen")}),
        files=[ChangedFile("a`b\nTrace id: 1", "A")],
    ).body
    assert [line for line in body.splitlines() if line.startswith("Trace id:")] == [f"Trace id: `{'f' * 32}`"]
    assert "- `a'b Trace id: 1` added" in body


def test_only_web_links_become_links() -> None:
    assert "](javascript" not in write(signals=[SignalLink("x", "javascript:alert(1)")]).body
    assert "[(x)](https://a/bc)" in write(signals=[SignalLink("[x]", "https://a/b) c")]).body


def test_the_text_stays_within_githubs_limits_and_keeps_its_ids() -> None:
    spec = SPEC.model_copy(
        update={
            "title": "x" * 200,
            "implementation": Implementation(approach="word " * 10_000),
            "acceptance_criteria": tuple("y" * 2000 for _ in range(200)),
            "verification": Verification(custom_checks=tuple("z" * 2000 for _ in range(200))),
        }
    )
    files = [ChangedFile(f"{n}" * 400, "A") for n in range(500)]
    text = write(spec, files=files)
    assert len(text.title) <= MAX_TITLE_CHARS
    assert len(text.body) <= MAX_BODY_CHARS
    assert f"Trace id: `{'f' * 32}`" in text.body
    assert "Shortened" in text.body


def test_long_lists_are_cut_with_their_number() -> None:
    body = write(files=[ChangedFile(f"f{n}", "A") for n in range(130)]).body
    assert "- … and 30 more files" in body


@pytest.mark.parametrize("text", ["cc &#64;octocat", "&commat;octocat", "fixes &#35;12", "@\\octocat", "@_x"])
def test_character_references_and_escapes_hide_no_mention(text: str) -> None:
    shown = escape_markdown(text)
    assert not re.search(r"&(?=#|[a-z]+;)(?!amp;|lt;)", shown)
    assert not re.search(r"@(?=\S)(?!\u200b)", shown)


def test_the_verification_that_was_run_and_the_cost_are_told() -> None:
    report = VerificationReport(
        passed=False,
        checks=(
            ReportedCheck(name="tests", passed=False, detail="2 failed\n@octocat"),
            ReportedCheck(name="lint", passed=True),
        ),
    )
    body = write(verification=report, cost=Cost(usd=0.1234, input_tokens=10, output_tokens=5, seconds=61.2)).body
    assert "Run by Squire on the committed tree: **failed**." in body
    assert "- `tests`: **failed**: 2 failed" in body
    assert "- `lint`: passed" in body
    assert "Cost: 0.1234 USD, 10 tokens in, 5 out, 61 s of the agent's time" in body
    assert not ACTIVE.search(body)


@pytest.mark.parametrize(("passed", "words"), [(True, "committed tree: passed"), (None, "Nothing was run by Squire")])
def test_what_was_left_out_of_the_verification_is_told_with_who_left_it_out(passed: bool | None, words: str) -> None:  # noqa: FBT001 - a parameter of the test
    left_out = (LeftOutCheck(name="lint", by="task"), LeftOutCheck(name="build", by="settings"))
    body = write(verification=VerificationReport(passed=passed, left_out=left_out)).body
    assert words in body
    assert "- `lint` was left out: the task leaves it out\n- `build` was left out: `verification.always` does" in body


def test_notes_and_the_rule_of_each_finding_are_told() -> None:
    finding = Finding("protected_path", "a.py", 3, "is protected", Decision.NEEDS_APPROVAL)
    verdict = Verdict(Decision.NEEDS_APPROVAL, (finding,))
    body = write(verdict=verdict, notes=["This repository has submodules."]).body
    assert "- `a.py:3` is protected (`protected_path`)" in body
    assert "- This repository has submodules." in body


def test_a_follow_up_is_added_once_and_the_whole_stays_within_githubs_limit() -> None:
    text = write()
    once = with_follow_up("Before.", text, task_id="t2")
    assert with_follow_up(once, text, task_id="t2") == once
    assert with_follow_up(once, text, task_id="t3") != once
    for length in (0, MAX_BODY_CHARS - 100, MAX_BODY_CHARS - 1, MAX_BODY_CHARS):
        body = "x" * length
        added = with_follow_up(body, text, task_id="t2")
        assert added.startswith(body)
        assert len(added) <= MAX_BODY_CHARS


@pytest.mark.parametrize("name", ["Release-As", "Reviewed-by", "Change-Id", "reviewed-by", "Co-Authored-By"])
def test_no_line_is_a_trailer(name: str) -> None:
    assert f"{name}:" not in escape_markdown(f"text\n\n{name}: 1.0")


@pytest.mark.parametrize("link", ["https://x.example/1", "<https://x.example/1>", "[https://x.example/1]"])
def test_no_word_closes_the_issue_of_a_link(link: str) -> None:
    assert "Fixes" not in escape_markdown(f"Fixes {link}")
