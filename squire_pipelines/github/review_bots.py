"""What review bots write, as findings: place, severity, text, suggested change, confidence, and the head they judged.

Pure. The parsers go by the forms in which Greptile, CodeRabbit, Bugbot and Copilot write, and by the form `File: …`,
`Line: …`, `Issue: …`, whoever uses it. A form that is not known is a finding with the text alone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MAX_BODY_CHARS = 100_000
MAX_FINDINGS = 50
_MAX_TEXT_CHARS = 10_000

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,2000}>")
_DETAILS = re.compile(r"<details>(?:(?!<details>).)*?</details>", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>suggestion|diff)\b[^\n]*\n", re.MULTILINE)
_CONFIDENCE = re.compile(
    r"confidence(?:\s{1,9}score)?[\s*_`]{0,20}[:=]?[\s*_`]{0,20}(\d{1,6}(?:\.\d{1,6})?)\s{0,9}/\s{0,9}(\d{1,6}(?:\.\d{1,6})?)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\bbetween\s+`?[0-9a-f]{7,40}`?\s+and\s+`?(?P<sha>[0-9a-f]{7,40})\b", re.IGNORECASE)
_JUDGED = re.compile(
    r"(?:(?:last )?reviewed commit|reviewed by [^\n]{0,80}? (?:for|on|at) commit|reviewing commit)"
    r"(?P<rest>[^\n]{0,500})",
    re.IGNORECASE,
)
_SHA_IN_LINK = re.compile(r"/commits?/([0-9a-f]{7,40})\b", re.IGNORECASE)
_SHA = re.compile(r"\b([0-9a-f]{40}|(?=[a-f]*\d)[0-9a-f]{7,39})\b", re.IGNORECASE)
_LOCATIONS = re.compile(
    r"<!--\s{0,9}LOCATIONS START\s{1,9}(?P<path>\S[^\n]{0,1000}?)#L(?P<line>\d{1,7})(?:-L(?P<end>\d{1,7}))?\s"
)
_FIELD = re.compile(
    r"^[ \t>*-]{0,50}(?P<name>file|path|lines?|issue|problem|severity|suggestion|suggested fix|fix)"
    r"\*{0,3}[ \t]{0,9}:\*{0,3}(?P<value>.*)$",
    re.IGNORECASE,
)
_PATH_WITH_LINE = re.compile(r"^(?P<path>.+?):(?P<lines>\d{1,7}(?:-\d{1,7})?)$")
_LINE_NUMBERS = re.compile(r"L?(\d{1,7})(?:\s*(?:-|–|to)\s*L?(\d{1,7}))?", re.IGNORECASE)  # noqa: RUF001 - as bots write
_FILE_HEADING = re.compile(r"^<summary>(?P<path>[^<>\n]{1,500}?) \(\d{1,4}\)</summary>")
_NITPICK_ITEM = re.compile(r"^`(?P<line>\d{1,7})(?:-(?P<end>\d{1,7}))?`\s*:\s*(?P<text>.*)$")
_SUPPRESSED_ITEM = re.compile(r"^\*\*(?P<path>[^*\n]{1,500}):(?P<line>\d{1,7})\*\*\s*$")
_SUPPRESSED = re.compile(r"suppressed (?:comments|due to low confidence)", re.IGNORECASE)

_SEVERITIES = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("critical", r"🔴|\bP0\b|\bcritical severity\b|_[^_\n]{0,40}\bcritical_"),
        ("high", r"🟠|\bP1\b|\bhigh severity\b|_[^_\n]{0,40}\bmajor_|\*\*(?:logic|security|syntax):\*\*"),
        ("medium", r"🟡|\bP2\b|\bmedium severity\b|_[^_\n]{0,40}\b(?:minor|potential issue)_"),
        ("low", r"🔵|\bP3\b|\blow severity\b|\bnitpick\b|\*\*style:\*\*|\brefactor suggestion\b|_trivial_"),
    )
)
_NAMED = {"critical": "critical", "high": "high", "major": "high", "medium": "medium", "minor": "medium", "low": "low"}


@dataclass(frozen=True, slots=True)
class BotFinding:
    """One finding. What the bot does not say is None; `confidence` is from 0 to 1."""

    text: str
    path: str | None = None
    line: int | None = None
    end_line: int | None = None
    severity: str | None = None
    suggestion: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class BotSummary:
    """A comment on the whole change: the findings that have no thread of their own, and what it judged."""

    findings: tuple[BotFinding, ...] = ()
    confidence: float | None = None
    judged_head: str | None = None


class _Place(NamedTuple):
    path: str | None
    line: int | None
    end_line: int | None


def parse_finding(body: str) -> BotFinding:
    """Return the finding that a bot's comment in a thread is."""
    body = _bounded(body)
    fields = next(_blocks(body), None)
    if fields is not None:
        return fields
    place = _place_in(body)
    return BotFinding(
        text=readable(body),
        path=place.path,
        line=place.line,
        end_line=place.end_line,
        severity=severity_of(body),
        suggestion=suggestion_of(body),
        confidence=confidence_of(body),
    )


def parse_summary(body: str) -> BotSummary:
    """Return what a bot's comment on the whole change says, also one that is edited in place."""
    body = _bounded(body)
    findings = [*_blocks(body), *_nitpicks(body), *_suppressed(body)]
    return BotSummary(tuple(findings[:MAX_FINDINGS]), confidence_of(body), judged_head_of(body))


def confidence_of(body: str) -> float | None:
    """Return a confidence written as `n/m`, from 0 to 1; None without one, of nothing, or of more than all."""
    return next(_confidences(body), None)


def least_confidence_of(body: str) -> float | None:
    """Return the lowest confidence that a text names; None without one.

    A bot may quote the change, and what is written there must not count for more than its own word.
    """
    return min((confidence for confidence in _confidences(body) if confidence is not None), default=None)


def _confidences(body: str) -> Iterator[float | None]:
    for match in _CONFIDENCE.finditer(_TAG.sub(" ", body)):
        part, whole = float(match[1]), float(match[2])
        yield round(part / whole, 4) if whole > 0 and part <= whole else None


def judged_head_of(body: str) -> str | None:
    """Return the commit that a bot says it judged, maybe abbreviated; None where it does not say."""
    if match := _BETWEEN.search(body):
        return match["sha"].lower()
    for match in _JUDGED.finditer(body):
        sha = _SHA_IN_LINK.search(match["rest"]) or _SHA.search(_TAG.sub(" ", match["rest"]))
        if sha is not None:
            return sha[1].lower()
    return None


def judges_other_head(judged: str | None, head: str) -> bool:
    """Return whether a commit that was judged, maybe abbreviated, is another than the head; not when none is known."""
    return judged is not None and not head.lower().startswith(judged.lower())


def severity_of(body: str) -> str | None:
    """Return `critical`, `high`, `medium` or `low`; None where the bot does not say in the first lines."""
    head = body[:600]
    return next((name for name, pattern in _SEVERITIES if pattern.search(head)), None)


def suggestion_of(body: str) -> str | None:
    """Return the first suggested change: of a suggestion that can be committed, else of a difference."""
    blocks: dict[str, str] = {}
    for match in _FENCE.finditer(body):
        end = re.compile(rf"^[ \t]*{re.escape(match['fence'])}", re.MULTILINE).search(body, match.end())
        blocks.setdefault(match["language"], body[match.end() : end.start() if end else len(body)].rstrip("\n"))
    text = blocks.get("suggestion", blocks.get("diff"))
    return text[:_MAX_TEXT_CHARS] if text is not None else None


def readable(body: str) -> str:
    """Return the text without what is only for programs: comments, tags, pictures, and what is folded away."""
    text = _COMMENT.sub("", body)
    for _ in range(5):  # folded parts lie within others
        text, count = _DETAILS.subn("", text)
        if not count:
            break
    text = _TAG.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()[:_MAX_TEXT_CHARS]


def _bounded(body: str) -> str:
    return body[:MAX_BODY_CHARS].replace("\r\n", "\n")


def _place_in(body: str) -> _Place:
    match = _LOCATIONS.search(body)
    if match is None:
        return _Place(None, None, None)
    return _Place(match["path"].strip(), int(match["line"]), _end(match["line"], match["end"]))


def _end(first: str, last: str | None) -> int | None:
    return int(last) if last and last != first else None


def _blocks(body: str) -> Iterator[BotFinding]:
    """Yield the findings that are written as fields; each begins with its file."""
    fields: dict[str, str] = {}
    name = ""
    in_fence = False
    for line in _COMMENT.sub("", body).split("\n"):
        in_fence ^= line.lstrip().startswith("```")
        match = None if in_fence else _FIELD.match(line)
        if match is None:
            if _JUDGED.search(line):
                name = ""
            if name in {"issue", "suggestion"}:
                fields[name] += "\n" + line
            continue
        name = _FIELD_NAMES[match["name"].lower()]
        if name == "file" and fields:
            yield from _finding_of(fields)
            fields = {}
        fields[name] = (
            match["value"].strip().strip("`*").strip() if name in {"file", "line"} else match["value"].lstrip(" \t")
        )
    yield from _finding_of(fields)


_FIELD_NAMES = {
    "file": "file",
    "path": "file",
    "line": "line",
    "lines": "line",
    "issue": "issue",
    "problem": "issue",
    "severity": "severity",
    "suggestion": "suggestion",
    "suggested fix": "suggestion",
    "fix": "suggestion",
}


def _finding_of(fields: dict[str, str]) -> Iterator[BotFinding]:
    path, text = fields.get("file"), _CONFIDENCE.sub("", fields.get("issue", "")).strip().rstrip("*_: ")
    if not path or not text:
        return
    lines = fields.get("line", "")
    if not lines and (match := _PATH_WITH_LINE.match(path)):
        path, lines = match["path"], match["lines"]
    numbers = _LINE_NUMBERS.match(lines)
    proposal = _CONFIDENCE.sub("", fields.get("suggestion", "")).strip()
    yield BotFinding(
        text=readable(text),
        path=path,
        line=int(numbers[1]) if numbers else None,
        end_line=_end(numbers[1], numbers[2]) if numbers else None,
        severity=_NAMED.get(fields.get("severity", "").strip("*` ").lower()),
        suggestion=(suggestion_of(proposal) or proposal)[:_MAX_TEXT_CHARS] or None,
        confidence=confidence_of("\n".join(fields.values())),
    )


def _nitpicks(body: str) -> Iterator[BotFinding]:
    """Yield the findings that lie folded below the name of their file, each beginning with its lines."""
    path: str | None = None
    item: re.Match[str] | None = None
    text: list[str] = []
    for raw in [*body.split("\n"), "</blockquote>"]:
        line = re.sub(r"^(?:> ?)+", "", raw).strip()
        heading, begins = _FILE_HEADING.match(line), _NITPICK_ITEM.match(line)
        if heading or begins or line.startswith("</blockquote>"):
            if path and item:
                yield _nitpick(path, item, "\n".join(text))
            item, text = begins, [begins["text"]] if begins else []
            if heading:
                path = heading["path"] if re.search(r"[./]", heading["path"]) else None
        elif item:
            text.append(raw)


def _nitpick(path: str, item: re.Match[str], text: str) -> BotFinding:
    return BotFinding(
        text=readable(text),
        path=path,
        line=int(item["line"]),
        end_line=_end(item["line"], item["end"]),
        severity=severity_of(text) or "low",
        suggestion=suggestion_of(text),
    )


def _suppressed(body: str) -> Iterator[BotFinding]:
    """Yield the findings that a bot did not trust enough to give them a thread."""
    match = _SUPPRESSED.search(body)
    if match is None:
        return
    place: re.Match[str] | None = None
    text: list[str] = []
    for line in [*body[match.end() :].split("\n"), "</details>"]:
        begins = _SUPPRESSED_ITEM.match(line.strip())
        if begins or line.strip().startswith("</details>"):
            if place and text:
                yield BotFinding(
                    text=readable("\n".join(text)), path=place["path"], line=int(place["line"]), severity="low"
                )
            place, text = begins, []
            if not begins:
                return
        elif place:
            text.append(re.sub(r"^\* ", "", line))
