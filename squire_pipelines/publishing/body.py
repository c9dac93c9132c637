"""Writes a pull request's title and text, for the person who reviews it. Pure.

Strangers' and agents' words are shown and cause nothing on GitHub: see `publishing.escaping`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.change import ChangedFile, Decision, Verdict
from squire_pipelines.domain.pull_request_templates import MAX_TEMPLATE_CHARS, part_for, template_sections
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.domain.templates import fill_template
from squire_pipelines.domain.verification import VerificationReport
from squire_pipelines.publishing.escaping import code, escape_markdown, one_line, plain_title, quote, web_link
from squire_pipelines.publishing.request import Cost, PublishRequest

MAX_BODY_CHARS = 65_536  # GitHub's limit for bodies of pull requests and comments
MAX_TITLE_CHARS = 256
MAX_WORDS_CHARS = 1_500
"""Of what an agent says of its own work: a few sentences, which a person reads."""

MAX_ORDER_CHARS = 30_000
"""Of the order behind a click; it is left out whole where the text has no room for it."""

MAX_CLOSED = 50
"""Issues that one pull request closes."""

_MAX_FILES = 100
_MAX_FINDINGS = 50
_MAX_ITEMS = 50
_MAX_COMMITS = 20
_MAX_FIRST = 3
_NOT_FILLED = "_Squire has nothing to say here._"
_CUT = "\n\n_Shortened: the text was too long for a pull request._\n\n"
_PATH = re.compile(r"`([\w.@+-]{1,100}(?:/[\w.@+-]{1,100}){0,20}\.\w{1,10})(?::\d{1,7})?`")
_TESTS = re.compile(r"(?:^|/)(?:tests?|specs?|__tests__)/|(?:^|/)test_[^/]*$|[._-](?:test|spec)s?\.\w+$", re.IGNORECASE)
_NO_CODE = re.compile(r"\.(?:md|rst|txt|lock)$|(?:^|/)(?:docs?/|[^/]*-lock\.)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PullRequestText:
    """Title and body, both within GitHub's limits."""

    title: str
    body: str


def pull_request_text(
    request: PublishRequest, files: Sequence[ChangedFile], verdict: Verdict, *, subjects: Sequence[str] = ()
) -> PullRequestText:
    """Write a pull request's title and body; `subjects` are the first lines of the agent's own commits, oldest first.

    The same arguments give the same text, so a repeated publication changes nothing. The lines with the ids stand at
    the end and are never cut.
    """
    footer = _footer(request)
    body = _filled(request, files, verdict, subjects, order=request.order)
    if len(body) + len(footer) > MAX_BODY_CHARS:
        body = _filled(request, files, verdict, subjects, order="")
    if len(body) + len(footer) > MAX_BODY_CHARS:
        body = body[: MAX_BODY_CHARS - len(footer) - len(_CUT)] + _CUT
    return PullRequestText(plain_title(request.fill(request.style.title), limit=MAX_TITLE_CHARS // 2), body + footer)


def _filled(
    request: PublishRequest, files: Sequence[ChangedFile], verdict: Verdict, subjects: Sequence[str], *, order: str
) -> str:
    """Return the text above the ids, in the repository's own template: its words cause nothing either."""
    spec = request.spec
    why = [f"- [{one_line(s.title).replace('[', '(').replace(']', ')')}]({web_link(s.url)})" for s in request.signals]
    criteria = [f"- {one_line(criterion)}" for criterion in spec.acceptance_criteria]
    parts = {
        "What": _account(request, files, subjects),
        "Why": [*_some(why, _MAX_ITEMS, "signals"), *_closes(request.closes)],
        "Look at first": _first(files, verdict),
        "Verification": _verification(spec, request.verification),
        "Files": _files(files),
        "Policy": _policy(verdict),
        "Acceptance criteria": _some(criteria, _MAX_ITEMS, "criteria"),
        "Notes": [f"- {one_line(note)}" for note in request.notes],
    }
    texts = {title: text for title, lines in parts.items() if (text := "\n".join(lines).strip())}
    body = _in_template(request.style.template or "", texts) + _folded("The order as the agent was given it", order)
    values = {"body": body, "title": one_line(request.title), "kind": spec.kind.value, "task": request.task_id}
    return fill_template(escape_markdown(request.style.body), values)


def with_follow_up(body: str, text: PullRequestText, *, task_id: str) -> str:
    """Return the text of a pull request with that of a follow-up added at its end, once for each task."""
    marker = f"<!-- squire follow-up {task_id} -->"
    if marker in body:
        return body
    added = f"\n\n{marker}\n## Follow-up: {text.title}\n\n{text.body}"
    room = MAX_BODY_CHARS - len(body)
    # The ids at the end of the added text are worth more than its middle.
    return body + (added if len(added) <= room else added[: max(0, room - len(_CUT))] + _CUT)[: max(0, room)]


def _account(request: PublishRequest, files: Sequence[ChangedFile], subjects: Sequence[str]) -> list[str]:
    """Return what was changed in the agent's words, else in those of its commits, else as the planner would do it."""
    lines: list[str] = []
    words = request.words.strip()
    if words:
        lines = [f"In the words of {code(request.agent)}:", "", quote(words, limit=MAX_WORDS_CHARS)]
        if elsewhere := _not_changed(words[:MAX_WORDS_CHARS], files):
            lines += ["", f"It names files that the change does not touch: {', '.join(map(code, elsewhere))}."]
    elif approach := request.spec.implementation.approach.strip():
        lines = ["As it was planned; the agent said nothing of its own:", "", quote(approach)]
    commits = _some([f"- {one_line(subject)}" for subject in subjects], _MAX_COMMITS, "commits")
    return [*lines, *(["", "The agent's commits:", "", *commits] if commits else [])] or [one_line(request.title)]


def _not_changed(words: str, files: Sequence[ChangedFile]) -> list[str]:
    """Return the files that a text names as code and that are not part of the change."""
    changed = tuple(f"/{file.path}" for file in files)
    named = dict.fromkeys(match[1] for match in _PATH.finditer(words))
    return [path for path in named if not any(name.endswith(f"/{path.removeprefix('./')}") for name in changed)][:10]


def _closes(numbers: Sequence[int]) -> list[str]:
    """Return the lines by which GitHub closes issues at the merge: numbers alone, no words of others."""
    return ["", *(f"Closes #{number}" for number in numbers[:MAX_CLOSED])] if numbers else []


def _first(files: Sequence[ChangedFile], verdict: Verdict) -> list[str]:
    """Return where a reviewer should begin: what the policy is unsure of, then the most code; and what is missing."""
    doubtful = [finding.path for finding in verdict.findings if finding.path]
    source = [file for file in files if not _TESTS.search(file.path) and not _NO_CODE.search(file.path)]
    largest = [file.path for file in sorted(source, key=lambda file: (-file.added - file.deleted, file.path))]
    lines = [f"- {code(path)}" for path in [*dict.fromkeys((*doubtful, *largest))][:_MAX_FIRST]]
    if source and not any(_TESTS.search(file.path) for file in files):
        lines.append("- No test was changed.")
    return lines


def _in_template(template: str, texts: Mapping[str, str]) -> str:
    """Return the parts of our text in the sections of the repository's template that ask for them, the others after.

    A section keeps its boxes, none of them ticked: what they ask is for people to say.
    """
    left = dict(texts)
    written = []
    for section in template_sections(template):
        part = part_for(section.heading, left)
        own = section.boxes if part else section.text
        text = left.pop(part) if part else "" if own or not section.heading else _NOT_FILLED
        shown = (escape_markdown(section.heading), text, escape_markdown(own, limit=MAX_TEMPLATE_CHARS))
        written.append("\n\n".join(filter(None, shown)))
    written += [f"### {title}\n\n{text}" for title, text in left.items()]
    return "".join(f"{text}\n\n" for text in written)


def _folded(title: str, text: str) -> str:
    """Return a text behind a click; nothing in it can end the fold, since its tags are escaped."""
    return (
        f"<details><summary>{title}</summary>\n\n{quote(text, limit=MAX_ORDER_CHARS)}\n\n</details>\n\n"
        if text.strip()
        else ""
    )


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
    lines += _some([f"- {one_line(check)}" for check in steps.custom_checks], _MAX_ITEMS, "checks")
    left_out = [f"- {code(check.name)} was left out: {check.reason}" for check in report.left_out] if report else []
    left_out = _some(left_out, _MAX_ITEMS, "checks")
    if report is None or report.passed is None:
        return [*lines, "", "Nothing was run by Squire itself.", *([""] if left_out else []), *left_out]
    result = "passed" if report.passed else "**failed**"
    lines += [
        "",
        f"Run by Squire on the committed tree: {result}." + (f" {one_line(report.message)}" * bool(report.message)),
    ]
    marks = {True: "passed", False: "**failed**"}
    shown = [
        f"- {code(check.name)}: {marks[check.passed]}" + (f": {one_line(check.detail)}" if check.detail else "")
        for check in report.checks
    ]
    return [*lines, "", *_some(shown, _MAX_ITEMS, "checks"), *left_out]


def _policy(verdict: Verdict) -> list[str]:
    lines = []
    for finding in verdict.findings:
        where = code(f"{finding.path}:{finding.line}" if finding.line else finding.path) if finding.path else ""
        lines.append(f"- {where} {one_line(finding.message)} ({code(finding.rule)})".replace("-  ", "- "))
    head = ["**A person has to approve this change:**", ""] if verdict.decision is Decision.NEEDS_APPROVAL else []
    return [*head, *_some(lines, _MAX_FINDINGS, "findings")] if lines else []


def _footer(request: PublishRequest) -> str:
    origin = f"Requested by {code(request.requester)}" if request.requester else f"Planned by {code(request.planner)}"
    return "\n".join(
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


def _cost(cost: Cost) -> str:
    parts = []
    if cost.usd is not None:
        parts.append(f"{cost.usd:.4f} USD")
    if cost.input_tokens is not None or cost.output_tokens is not None:
        parts.append(f"{cost.input_tokens or 0} tokens in, {cost.output_tokens or 0} out")
    if cost.seconds is not None:
        parts.append(f"{cost.seconds:.0f} s of the agent's time")
    return ", ".join(parts) or "not counted"
