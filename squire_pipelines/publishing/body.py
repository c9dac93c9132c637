"""Writes a pull request's title and text: pure. Strangers' and agents' words are shown and cause nothing on GitHub."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.change import ChangedFile, Decision, Verdict
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.domain.templates import fill_template
from squire_pipelines.domain.terminal_text import plain
from squire_pipelines.domain.verification import VerificationReport
from squire_pipelines.publishing.request import Cost, PublishRequest

MAX_BODY_CHARS = 65_536  # GitHub's limit for bodies of pull requests and comments
MAX_TITLE_CHARS = 256
_MAX_TEXT = 8_000
_MAX_LINE = 500
_MAX_FILES = 100
_MAX_FINDINGS = 50
_MAX_ITEMS = 50
_MAX_COMMITS = 20
_CUT = "\n\n_Shortened: the text was too long for a pull request._\n\n"
# Invisible, and enough to keep GitHub from seeing a mention, a reference or an image.
_BREAK = "\u200b"

_MENTION = re.compile(r"@(?=\S)")
_REFERENCE = re.compile(r"#(?=\d)")
# A character reference becomes its character before GitHub looks for mentions and references.
_ENTITY = re.compile(r"&(?=#|[A-Za-z])")
_GH_REFERENCE = re.compile(r"(?<![A-Za-z0-9_])(GH)-(?=\d)", re.IGNORECASE)
_CLOSING_URL = re.compile(r"\b(clos|fix|resolv)(es|ed|e|ing)?(?=[\s:]{1,20}\[?(?:<|&lt;)?https?://)", re.IGNORECASE)
# Other trackers end an issue by its key, such as ENG-123: https://linear.app/docs/github
_CLOSING_KEY = re.compile(
    r"\b(clos|fix|resolv|complet|implement)(?=[a-z]{0,10}[\s:*(\[<`'\"]{1,20}[a-z][a-z0-9_]{0,20}-\d)", re.IGNORECASE
)
_IMAGE = re.compile(r"!\[")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
# A merge may make the pull request's text a commit's message: `[skip ci]` and its kin, and what Azure and GitHub know.
_SKIP = re.compile(
    r"\[(?=[^\[\]\n]{0,40}\b(?:skip|no[ _-]?ci)\b)|\*(?=NO_CI)|\bskip(?=-checks\b)|\bco(?=-authored-by\b)"
    r"|\bsigned(?=-off-by\b)",
    re.IGNORECASE,
)

_TRAILER = re.compile(r"^([ \t]{0,20}[a-z]{1,30})(?=(?:-[a-z]{1,30}){1,5}[ \t]{0,20}:)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PullRequestText:
    """Title and body, both within GitHub's limits."""

    title: str
    body: str


def escape_markdown(text: str, *, limit: int = _MAX_TEXT) -> str:
    """Return `text` as Markdown that only is read: it notifies nobody, closes no issue, skips no check, loads no image.

    Mentions, references, closing keywords, trailers and `[skip ci]` are broken by an invisible character, tags and
    comments are escaped, control sequences and what is drawn as nothing are left out, and at most
    `limit` characters stay.
    """
    kept = plain(text)
    if len(kept) > limit:
        kept = kept[: limit - 1] + "…"
    kept = _TAG.sub("&lt;", _ENTITY.sub("&amp;", kept))
    kept = _IMAGE.sub(f"!{_BREAK}[", kept)
    kept = _SKIP.sub(rf"\g<0>{_BREAK}", kept)
    kept = _TRAILER.sub(rf"\1{_BREAK}", kept)
    kept = _CLOSING_URL.sub(rf"\1{_BREAK}\2", kept)
    kept = _CLOSING_KEY.sub(rf"\1{_BREAK}", kept)
    kept = _MENTION.sub(f"@{_BREAK}", kept)
    kept = _GH_REFERENCE.sub(rf"\1{_BREAK}-", kept)
    return _REFERENCE.sub(f"#{_BREAK}", kept)


def _line(text: str, *, limit: int = _MAX_LINE) -> str:
    return escape_markdown(" ".join(text.split()), limit=limit)


def code(text: str) -> str:
    """Return a path or name as inline code; backticks cannot end it early."""
    return "`" + _line(text).replace("`", "'") + "`"


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in escape_markdown(text).strip().splitlines())


def _section(title: str, lines: Iterable[str]) -> str:
    content = "\n".join(lines).strip()
    return f"### {title}\n\n{content}\n\n" if content else ""


def _some(lines: Sequence[str], limit: int, noun: str) -> list[str]:
    rest = len(lines) - limit
    return [*lines[:limit], f"- … and {rest} more {noun}"] if rest > 0 else list(lines)


def _files(files: Sequence[ChangedFile]) -> list[str]:
    words = {"A": "added", "M": "changed", "D": "deleted", "T": "changed type"}
    return _some(
        [f"- {code(f.path)} {words.get(f.status, f.status)} (+{f.added} −{f.deleted})" for f in files],  # noqa: RUF001 - a minus sign
        _MAX_FILES,
        "files",
    )


def _verification(spec: TaskSpec, report: VerificationReport | None) -> list[str]:
    steps = spec.verification
    asked = [
        name for name, on in (("tests", steps.run_tests), ("lint", steps.run_lint), ("build", steps.run_build)) if on
    ]
    lines = [f"The agent was asked to run: {', '.join(asked)}."] if asked else []
    lines += _some([f"- {_line(check)}" for check in steps.custom_checks], _MAX_ITEMS, "checks")
    if report is None:
        return [*lines, "", "Nothing was run by Squire itself."] if lines else []
    result = "passed" if report.passed else "**failed**"
    lines += [
        "",
        f"Run by Squire on the committed tree: {result}." + (f" {_line(report.message)}" * bool(report.message)),
    ]
    marks = {True: "passed", False: "**failed**"}
    shown = [
        f"- {code(check.name)}: {marks[check.passed]}" + (f": {_line(check.detail)}" if check.detail else "")
        for check in report.checks
    ]
    return [*lines, "", *_some(shown, _MAX_ITEMS, "checks")]


def _policy(verdict: Verdict) -> list[str]:
    lines = []
    for finding in verdict.findings:
        where = code(f"{finding.path}:{finding.line}" if finding.line else finding.path) if finding.path else ""
        lines.append(f"- {where} {_line(finding.message)} ({code(finding.rule)})".replace("-  ", "- "))
    head = ["**A person has to approve this change:**", ""] if verdict.decision is Decision.NEEDS_APPROVAL else []
    return [*head, *_some(lines, _MAX_FINDINGS, "findings")] if lines else []


def _cost(cost: Cost) -> str:
    parts = []
    if cost.usd is not None:
        parts.append(f"{cost.usd:.4f} USD")
    if cost.input_tokens is not None or cost.output_tokens is not None:
        parts.append(f"{cost.input_tokens or 0} tokens in, {cost.output_tokens or 0} out")
    if cost.seconds is not None:
        parts.append(f"{cost.seconds:.0f} s of the agent's time")
    return ", ".join(parts) or "not counted"


def pull_request_text(
    request: PublishRequest, files: Sequence[ChangedFile], verdict: Verdict, *, subjects: Sequence[str] = ()
) -> PullRequestText:
    """Write a pull request's title and body; `subjects` are the first lines of the agent's own commits, oldest first.

    The same arguments give the same text, so a repeated publication changes nothing. The lines with the ids stand at
    the end and are never cut.
    """
    spec = request.spec
    why = [f"- [{_line(s.title).replace('[', '(').replace(']', ')')}]({_url(s.url)})" for s in request.signals]
    criteria = [f"- {_line(criterion)}" for criterion in spec.acceptance_criteria]
    body = "".join(
        [
            _section("What", [_quote(spec.implementation.approach.strip() or spec.prompt)]),
            _section("Why", _some(why, _MAX_ITEMS, "signals")),
            _section("Acceptance criteria", _some(criteria, _MAX_ITEMS, "criteria")),
            _section("Verification", _verification(spec, request.verification)),
            _section("Files", _files(files)),
            _section("Policy", _policy(verdict)),
            _section(
                "The agent's commits", _some([f"- {_line(subject)}" for subject in subjects], _MAX_COMMITS, "commits")
            ),
            _section("Notes", [f"- {_line(note)}" for note in request.notes]),
        ]
    )
    # The template is the repository's own text, and causes nothing either; what it is around is clean already.
    title = _line(request.title)
    body = fill_template(
        escape_markdown(request.style.body),
        {"body": body, "title": title, "kind": spec.kind.value, "task": request.task_id},
    )
    origin = f"Requested by {code(request.requester)}" if request.requester else f"Planned by {code(request.planner)}"
    footer = "\n".join(
        [
            "---",
            f"Opened by Squire. {origin}, done by {code(request.agent)}.",
            "",
            f"Task: {code(request.task_id)}",
            f"Attempt: {code(request.attempt_id)}",
            f"Cost: {_cost(request.cost)}",
            f"Trace id: {code(request.trace_id)}",
            "",
        ]
    )
    if len(body) + len(footer) > MAX_BODY_CHARS:
        body = body[: MAX_BODY_CHARS - len(footer) - len(_CUT)] + _CUT
    return PullRequestText(_line(request.fill(request.style.title), limit=MAX_TITLE_CHARS // 2), body + footer)


def _url(url: str) -> str:
    """Return a link's target that cannot end the link; anything but http(s) is dropped."""
    target = re.sub(r"[\s()<>\\]", "", url)
    return target if target.startswith(("https://", "http://")) else ""


def with_follow_up(body: str, text: PullRequestText, *, task_id: str) -> str:
    """Return the text of a pull request with that of a follow-up added at its end, once for each task."""
    marker = f"<!-- squire follow-up {task_id} -->"
    if marker in body:
        return body
    added = f"\n\n{marker}\n## Follow-up: {text.title}\n\n{text.body}"
    room = MAX_BODY_CHARS - len(body)
    # The ids at the end of the added text are worth more than its middle.
    return body + (added if len(added) <= room else added[: max(0, room - len(_CUT))] + _CUT)[: max(0, room)]
