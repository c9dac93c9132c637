"""What the policy judges and decides: changed files, commits, findings and verdicts. Pure values."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from squire_pipelines.domain.frozen import FrozenModel

_MODE_NONE = "000000"
MAX_FINDINGS = 200

DEFAULT_BINARY = (
    *(f"**/*.{kind}" for kind in ("png", "jpg", "jpeg", "gif", "webp", "avif", "ico", "icns", "bmp")),
    *(f"**/*.{kind}" for kind in ("woff", "woff2", "ttf", "otf", "eot")),
)
"""Files that are no text and that a review can show or nothing runs: pictures and fonts."""


class Decision(StrEnum):
    """What may happen to a change; the gravest finding decides."""

    ALLOW = "allow"
    NEEDS_APPROVAL = "needs_approval"
    REJECT = "reject"

    @property
    def rank(self) -> int:
        """How grave it is: 0 for the least."""
        return tuple(Decision).index(self)


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One path that a change touches.

    Args:
        path: Relative to the repository's root, with `/`.
        status: `A`dded, `M`odified, `D`eleted or `T`ype changed, as git says; renames are a deletion and an addition.
        old_mode: Six octal digits as in git's trees; `000000` where there is nothing.
        new_mode: Likewise, after the change.
        added: Added lines; 0 for binary files.
        deleted: Deleted lines; 0 for binary files.
        bytes: Size of the new content; 0 when deleted.
        binary: Whether git takes the content for binary.
        added_lines: Line number (from 1) and text of each added line, binary content too; bytes that are no UTF-8 are
            lone surrogates, as Python writes them.
        sha: The id of the new content; empty when it is not known.
        symlink_target: Where the new symbolic link points; None for everything else.
    """

    path: str
    status: str
    old_mode: str = _MODE_NONE
    new_mode: str = "100644"
    added: int = 0
    deleted: int = 0
    bytes: int = 0
    binary: bool = False
    added_lines: tuple[tuple[int, str], ...] = ()
    symlink_target: str | None = None
    sha: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that is searched for secrets.

    Args:
        data: Its bytes.
        verb: What a finding says of it, before what was found.
        path: The file that it belongs to; None for what belongs to none.
        new_lines: Number and text of its lines where all of them are new, which are then searched for anything that
            looks like a credential; empty where only what must not be published anywhere counts.
    """

    data: bytes
    verb: str
    path: str | None = None
    new_lines: tuple[tuple[int | None, str], ...] = ()

    @classmethod
    def of_lines(cls, path: str, lines: tuple[tuple[int, str], ...]) -> Self:
        """Return the lines that a change adds to a file."""
        data = "\n".join(line for _, line in lines).encode("utf-8", "surrogateescape")
        return cls(data, "adds", path, lines)

    @classmethod
    def of_text(cls, verb: str, text: str) -> Self:
        """Return a text that is new as a whole."""
        return cls(text.encode("utf-8", "surrogatepass"), verb, None, tuple((None, line) for line in text.splitlines()))


@dataclass(frozen=True, slots=True)
class JudgedTask:
    """What the policy needs to know of the attempt and its task.

    Args:
        attempt_id: Whose canary is looked for; None looks for none.
        asked_paths: Globs of protected paths that the task asks for by name.
        known_secrets: Exact values that must not be published in any form.
    """

    attempt_id: str | None = None
    asked_paths: tuple[str, ...] = ()
    known_secrets: tuple[str, ...] = ()


NO_TASK = JudgedTask()


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a rule: which rule, where (`line` from 1), and why, without any secret's value."""

    rule: str
    path: str | None
    line: int | None
    message: str
    decision: Decision

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}: " if self.line else f"{self.path}: " if self.path else ""
        return f"{where}{self.message} [{self.rule}]"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided of a change, and all findings, gravest first (at most `MAX_FINDINGS`)."""

    decision: Decision
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Self:
        """Return what these findings decide together."""
        ordered = tuple(dict.fromkeys(sorted(findings, key=_weight)))
        return cls(ordered[0].decision if ordered else Decision.ALLOW, ordered[:MAX_FINDINGS])

    def record(self) -> "VerdictRecord":
        """Return the verdict as the attempt's row keeps it."""
        return VerdictRecord(
            decision=self.decision,
            findings=tuple(
                FindingRecord(rule=finding.rule, path=finding.path, line=finding.line, message=finding.message)
                for finding in self.findings
            ),
        )


class FindingRecord(FrozenModel):
    """A finding as the attempt's row keeps it."""

    rule: str = ""
    path: str | None = None
    line: int | None = None
    message: str = ""

    def __str__(self) -> str:
        return f"{self.path} {self.message or self.rule}" if self.path else self.message or self.rule


class VerdictRecord(FrozenModel):
    """A verdict as the attempt's row keeps it; without a decision when another version of Squire made it."""

    decision: Decision | None = None
    findings: tuple[FindingRecord, ...] = ()


def _weight(finding: Finding) -> tuple[int, bool]:
    """Return what findings are sorted by: the gravest come first, and of those the canary, which tells of intent."""
    return -finding.decision.rank, finding.rule != "canary"
