"""Reads a repository's pull request template: its sections, and which part of our text each of them asks for. Pure.

The text is the repository's: whoever shows it escapes it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

MAX_TEMPLATE_CHARS = 20_000
"""A longer one is not filled: a pull request's text has 65,536 characters."""

_MAX_SECTIONS = 60
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_FRONT_MATTER = re.compile(r"\A---\n.{0,2000}?\n---\n", re.DOTALL)
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+\S.*")
_FENCE = re.compile(r" {0,3}(?:```|~~~)")
_BOX = re.compile(r"^(\s{0,20}[-*+] )\[[ xX]\](?=\s)")
_NO_PART = re.compile(
    r"\bcheck ?-?list\b|\b(?:types?|kinds?) of\b|\bbreaking\b|\bchangelog\b|\brelease\b|\bscreen ?shots?\b"
    r"|\blicen[cs]e\b|\bdeploy",
    re.IGNORECASE,
)
_PARTS = (
    ("What", r"what|descri(?:ption|be)|summary|overview|changes?|changed|proposed|proposal|purpose|about|solution"),
    ("Why", r"why|motivation|context|background|rationale|issues?|related|references?|tickets?|fixes|closes|reason"),
    ("Verification", r"test(?:s|ed|ing)?|verif\w{0,20}|validat\w{0,20}|qa|how (?:has|was|were|did|do|can|to|is)"),
    ("Look at first", r"review(?:er|ers|ing)?|focus"),
    ("Acceptance criteria", r"acceptance|definition of done"),
    ("Notes", r"notes?|additional|other|else|further|remarks?|comments?"),
)  # fmt: skip
_ASKS_FOR = tuple((part, re.compile(rf"\b(?:{words})\b", re.IGNORECASE)) for part, words in _PARTS)


@dataclass(frozen=True, slots=True)
class TemplateSection:
    """A heading with its signs `##` and the text below it; the heading is empty before a template's first one."""

    heading: str
    text: str

    @property
    def boxes(self) -> str:
        """The lines with boxes alone: they ask the author something, where other text only says what to write."""
        return "\n".join(line for line in self.text.splitlines() if _BOX.match(line))


def template_sections(template: str) -> tuple[TemplateSection, ...]:
    """Return a template's sections, without comments and with no box ticked; none for one that says nothing.

    Neither does one that is longer than `MAX_TEMPLATE_CHARS`, or that has more than 60 headings or code without an
    end.
    """
    text = _COMMENT.sub("", _FRONT_MATTER.sub("", template.replace("\r\n", "\n").removeprefix("\ufeff")))
    if len(text) > MAX_TEMPLATE_CHARS or not text.strip():
        return ()
    sections: list[tuple[str, list[str]]] = [("", [])]
    in_code = False
    for line in text.split("\n"):
        in_code ^= _FENCE.match(line) is not None
        if not in_code and _HEADING.fullmatch(line):
            sections.append((line.strip(), []))
        else:
            sections[-1][1].append(line if in_code else _BOX.sub(r"\1[ ]", line))
    if len(sections) > _MAX_SECTIONS or in_code:
        return ()
    kept = (TemplateSection(heading, "\n".join(lines).strip()) for heading, lines in sections)
    return tuple(section for section in kept if section.heading or section.text)


def part_for(heading: str, parts: Collection[str]) -> str | None:
    """Return which of the parts of our text a heading asks for: by the first of its words that names one."""
    if _NO_PART.search(heading):
        return None
    matches = [(match.start(), part) for part, words in _ASKS_FOR if (match := words.search(heading)) and part in parts]
    return min(matches)[1] if matches else None
