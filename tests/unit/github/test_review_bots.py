"""Bodies in the forms of the review bots: what each says, where, how badly, how surely, and of which head."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.github.review_bots import (
    MAX_FINDINGS,
    BotFinding,
    confidence_of,
    judged_head_of,
    judges_other_head,
    parse_finding,
    parse_summary,
    severity_of,
    suggestion_of,
)

BODIES = Path(__file__).parent / "review_bots"
HEAD = "3f9a2c1d" + "0" * 32


def body(name: str) -> str:
    return (BODIES / f"{name}.md").read_text(encoding="utf-8")


def shown(finding: BotFinding) -> dict[str, Any]:
    return {key: value for key, value in asdict(finding).items() if value is not None}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "greptile_comment",
            {
                "severity": "high",
                "suggestion": "    if not items:\n        return Decimal(0)",
                "text": "**logic:** `average` divides by the number of items, which may be 0. Return early.",
            },
        ),
        (
            "greptile_badge",
            {"severity": "high", "text": "**Rate is a percentage here**\n\nEverywhere else it is a share."},
        ),
        (
            "coderabbit_comment",
            {
                "severity": "high",
                "suggestion": "-    return total // parts\n+    return divmod(total, parts)",
                "text": "_⚠️ Potential issue_ | _🟠 Major_\n\n**Do not lose the remainder.**\n\nThe rest of the "
                "division is dropped, so that the shares do not add up.",
            },
        ),
        (
            "bugbot_comment",
            {
                "path": "src/cart.mjs",
                "line": 12,
                "end_line": 15,
                "severity": "high",
                "text": "### Discount is applied twice\n\n**High Severity**\n\n`total` already has the discount when "
                "`checkout` subtracts it again.",
            },
        ),
        (
            "copilot_comment",
            {
                "severity": "low",
                "suggestion": "const limit = 10;",
                "text": "[nitpick] The variable is never reassigned, `const` says so.\n"
                "```suggestion\nconst limit = 10;\n```",
            },
        ),
        (
            "old_form",
            {
                "path": "src/a.py",
                "line": 42,
                "severity": "high",
                "confidence": 0.8,
                "suggestion": "Check for None first.",
                "text": "The return value of `find` may be None,\nand is used unchecked.",
            },
        ),
    ],
)
def test_comment_in_a_thread(name: str, expected: dict[str, Any]) -> None:
    finding = shown(parse_finding(body(name)))
    if name.startswith("greptile_comment"):
        assert "```suggestion" in finding["text"]
        finding["text"] = finding["text"].partition("\n\n```")[0]
    if name == "coderabbit_comment":
        assert "Committable" not in finding["text"]
        finding["text"] = finding["text"].partition("\n\n```diff")[0]
    assert finding == expected


def test_greptiles_summary_has_confidence_and_head() -> None:
    summary = parse_summary(body("greptile_summary"))
    assert (summary.confidence, summary.judged_head, summary.findings) == (0.8, HEAD, ())
    assert not judges_other_head(summary.judged_head, HEAD)
    assert judges_other_head(summary.judged_head, "b" * 40)
    assert not judges_other_head(None, HEAD)


def test_coderabbits_review_has_findings_without_a_thread_and_the_head() -> None:
    summary = parse_summary(body("coderabbit_review"))
    assert summary.judged_head == HEAD
    assert [(f.path, f.line, f.end_line, f.severity) for f in summary.findings] == [
        ("src/money.py", 36, 41, "low"),
        ("src/money.py", 77, None, "low"),
        ("docs/read me.md", 3, None, "low"),
    ]
    first = summary.findings[0]
    assert first.text.startswith("**Copy the lock file too.**\n\nWithout it")
    assert first.suggestion == "+shutil.copy(lock, target)"


def test_bugbots_review_names_the_commit_by_its_beginning() -> None:
    summary = parse_summary(body("bugbot_review"))
    assert summary.judged_head == HEAD[:8]
    assert not judges_other_head(summary.judged_head, HEAD)
    assert summary.findings == ()


def test_what_copilot_did_not_trust_enough_for_a_thread_is_a_finding() -> None:
    summary = parse_summary(body("copilot_review"))
    assert [shown(finding) for finding in summary.findings] == [
        {"path": "src/cart.mjs", "line": 8, "severity": "low", "text": "The sum is a float.\n```\nlet sum = 0.0;\n```"},
        {"path": "test/cart.test.mjs", "line": 30, "severity": "low", "text": "[nitpick] Name the case."},
    ]


def test_old_form_with_several_findings() -> None:
    summary = parse_summary(body("old_form_summary"))
    assert summary.confidence == 0.6
    assert [(f.path, f.line, f.end_line, f.text, f.confidence) for f in summary.findings] == [
        ("src/a.py", 12, None, "Loose comparison", None),
        ("src/b.py", 3, 5, "Never closed", 0.5),
        ("src/c.py", 7, None, "No test", None),
    ]


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("Confidence Score: 4 / 5", 0.8),
        ("<h3>Confidence Score: 4/5</h3>", 0.8),
        ("**Confidence:** 85/100", 0.85),
        ("confidence score 3.5/5", 0.7),
        ("Confidence Score: 5/5", 1.0),
        ("Confidence Score: 0/5", 0.0),
        ("Confidence Score: 4/0", None),
        ("Confidence Score: 0 / 0.0", None),
        ("Confidence Score: 6/5", None),
        ("Confidence is high", None),
        ("4/5 tests failed", None),
    ],
)
def test_confidence_is_a_share_of_whatever_it_is_counted_in(text: str, confidence: float | None) -> None:
    assert confidence_of(text) == confidence


@pytest.mark.parametrize(
    ("text", "head"),
    [
        (f"Last reviewed commit: {HEAD}", HEAD),
        (
            f"<sub>Last reviewed commit: <a href='https://github.com/o/r/commit/{HEAD}'>\"Add cafe 1234567\"</a></sub>",
            HEAD,
        ),
        ("Reviewed by Cursor Bugbot for commit 3F9A2C1D. Configure it here.", "3f9a2c1d"),
        ("Reviewing files that changed from the base of the PR and between 1234567 and 3f9a2c1d.", "3f9a2c1d"),
        ("Last reviewed commit: the deadbeef one", None),
        ("nothing", None),
    ],
)
def test_judged_head(text: str, head: str | None) -> None:
    assert judged_head_of(text) == head


def test_words_of_the_text_are_no_severity() -> None:
    assert severity_of("This is critical for major customers, a minor point") is None
    assert severity_of("**Low Severity**") == "low"
    assert severity_of("_🛠️ Refactor suggestion_ | _🔴 Critical_") == "critical"


def test_suggestion_ends_at_its_own_fence() -> None:
    assert suggestion_of("````suggestion\na\n```\nb\n````\nafter") == "a\n```\nb"
    assert suggestion_of("```suggestion\n```") == ""
    assert suggestion_of("```suggestion\nopen to the end") == "open to the end"
    assert suggestion_of("```python\nx\n```") is None


@given(
    st.text(max_size=400) | st.lists(st.sampled_from(body("old_form_summary").split("\n")), max_size=40).map("\n".join)
)
def test_any_body_is_read(text: str) -> None:
    finding, summary = parse_finding(text), parse_summary(text)
    assert len(summary.findings) <= MAX_FINDINGS
    for confidence in (finding.confidence, summary.confidence, *(part.confidence for part in summary.findings)):
        assert confidence is None or 0 <= confidence <= 1


def test_long_bodies_are_read_in_time_that_grows_with_their_length() -> None:
    for piece in (
        "<details>",
        "<!--",
        "```suggestion\n",
        "<summary>a.b (1)</summary>\n",
        "File: a\nIssue: b\n",
        "**a:1**\n",
        "- ",
    ):
        parse_finding(piece * 20_000)
        parse_summary(piece * 20_000)
