"""The diff policy: what an agent's change may be. Pure: values in, a verdict out; git is read in `publishing.diff`."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from posixpath import dirname

from squire_pipelines.domain.credentials import find_credentials, known_pieces

MAX_FINDINGS = 200
REJECT_FACTOR = 10
MAX_PATH_LENGTH = 4096
_MODE_NONE = "000000"
_MODE_FILE = frozenset({"100644", "100664"})
_MODE_EXECUTABLE = "100755"
_MODE_SYMLINK = "120000"
_MODE_GITLINK = "160000"


class Decision(IntEnum):
    """What may become of a change; the gravest finding decides."""

    ALLOW = 0
    NEEDS_APPROVAL = 1
    REJECT = 2


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
        added_lines: Line number (from 1) and text of each added line, binary content too.
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


@dataclass(frozen=True, slots=True)
class Policy:
    """What a change may be without a person looking at it first; ten times a limit is refused outright.

    `forbidden_paths` are refused and not only held for approval: pushing a workflow to a branch already runs it with
    the repository's secrets, before anybody has looked at the pull request
    (https://docs.github.com/en/actions/reference/events-that-trigger-workflows#push).
    """

    protected_paths: tuple[str, ...]
    max_files: int
    max_changed_lines: int
    max_bytes: int
    max_file_bytes: int
    forbidden_paths: tuple[str, ...] = (".github/workflows/**", ".github/actions/**")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule found: which rule, where (`line` from 1), and why, without any secret's value."""

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
    """What is decided of a change, and everything that was found, gravest first (at most `MAX_FINDINGS`)."""

    decision: Decision
    findings: tuple[Finding, ...] = ()


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    out: list[str] = []
    rest = pattern.strip("/").casefold()
    for token in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", rest):
        match token:
            case "**/":
                out.append("(?:[^/]+/)*")
            case "**":
                out.append(".*")
            case "*":
                out.append("[^/]*")
            case "?":
                out.append("[^/]")
            case _:
                out.append(re.escape(token))
    # A pattern that names a folder holds for all beneath it.
    return re.compile("".join(out) + "(?:/.*)?", re.DOTALL)


def matches(path: str, patterns: Sequence[str]) -> str | None:
    """The first of `patterns` that `path` or a folder above it matches, in whatever case; None when none does.

    `*` and `?` stay within a folder, `**/` is any number of folders, `dir/**` is everything beneath `dir`.
    """
    folded = unicodedata.normalize("NFC", path).casefold()
    return next((pattern for pattern in patterns if _compile(pattern).fullmatch(folded)), None)


def _is_dot_git(component: str) -> bool:
    """Whether some file system takes the component for `.git`: HFS+ ignores marks, NTFS dots, spaces and streams."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", component) if unicodedata.category(c) != "Cf")
    plain = visible.casefold().split(":", 1)[0].rstrip(". ")
    return plain == ".git" or re.fullmatch(r"git~\d+", plain) is not None


def _check_path(file: ChangedFile) -> Iterator[Finding]:
    components = file.path.split("/")
    if any(_is_dot_git(component) for component in components):
        yield Finding("git_directory", file.path, None, "lies in a `.git` folder", Decision.REJECT)
    bad = any(component in {"", ".", ".."} for component in components)
    odd = any(c == "\\" or unicodedata.category(c) in {"Cc", "Cs"} for c in file.path)
    if bad or odd or len(file.path) > MAX_PATH_LENGTH:
        yield Finding("path", file.path, None, "is no ordinary relative path", Decision.REJECT)


def _check_mode(file: ChangedFile) -> Iterator[Finding]:
    mode = file.new_mode
    if _MODE_GITLINK in {mode, file.old_mode}:
        yield Finding("submodule", file.path, None, "adds, changes or removes a submodule", Decision.REJECT)
    elif mode not in {*_MODE_FILE, _MODE_NONE, _MODE_EXECUTABLE, _MODE_SYMLINK}:
        yield Finding("mode", file.path, None, f"has the mode {mode}", Decision.REJECT)
    if mode == _MODE_EXECUTABLE and file.old_mode in _MODE_FILE:
        yield Finding("mode", file.path, None, "becomes executable", Decision.NEEDS_APPROVAL)


def _check_symlink(file: ChangedFile) -> Iterator[Finding]:
    if file.new_mode != _MODE_SYMLINK:
        return
    target = file.symlink_target or ""
    up, depth, named = 0, len([part for part in dirname(file.path).split("/") if part]), False
    for part in target.split("/"):
        if part == "..":
            # After a named folder, which may be a link itself, `..` leads nobody knows where.
            up = up + 1 if not named else MAX_PATH_LENGTH
        elif part not in {"", "."}:
            named = True
    outside = not target or target.startswith(("/", "~")) or "\\" in target or ":" in target or up > depth
    if outside or any(_is_dot_git(part) for part in target.split("/")):
        message = f"is a symbolic link out of the repository, to {target[:100]!r}"
        yield Finding("symlink", file.path, None, message, Decision.REJECT)


def _check_secrets(file: ChangedFile, known: tuple[str, ...]) -> Iterator[Finding]:
    for number, line in file.added_lines:
        for what in find_credentials(line, known):
            yield Finding("secret", file.path, number, f"adds {what}", Decision.REJECT)


def _check_protected(file: ChangedFile, policy: Policy, allowed: Sequence[str]) -> Iterator[Finding]:
    if matches(file.path, allowed):
        return
    if pattern := matches(file.path, policy.forbidden_paths):
        message = f"is forbidden by `{pattern}`: pushing it would run it with the repository's secrets"
        yield Finding("forbidden_path", file.path, None, message, Decision.REJECT)
    elif pattern := matches(file.path, policy.protected_paths):
        yield Finding("protected_path", file.path, None, f"is protected by `{pattern}`", Decision.NEEDS_APPROVAL)


def _over(
    rule: str, path: str | None, value: int, limit: int, describe: Callable[[int, int], str]
) -> Iterator[Finding]:
    if value > limit:
        decision = Decision.REJECT if value > limit * REJECT_FACTOR else Decision.NEEDS_APPROVAL
        yield Finding(rule, path, None, describe(value, limit), decision)


def _check_file_size(file: ChangedFile, policy: Policy) -> Iterator[Finding]:
    kind = "binary file" if file.binary else "file"
    yield from _over(
        "file_size", file.path, file.bytes, policy.max_file_bytes, lambda n, top: f"{kind} of {n} bytes, limit {top}"
    )


def _check_size(files: Sequence[ChangedFile], policy: Policy) -> Iterator[Finding]:
    lines = sum(file.added + file.deleted for file in files)
    size = sum(file.bytes for file in files)
    yield from _over("files", None, len(files), policy.max_files, lambda n, top: f"{n} files changed, limit {top}")
    yield from _over("lines", None, lines, policy.max_changed_lines, lambda n, top: f"{n} lines changed, limit {top}")
    yield from _over("bytes", None, size, policy.max_bytes, lambda n, top: f"{n} bytes in changed files, limit {top}")


def _check_history(files: Sequence[ChangedFile], policy: Policy, known: tuple[str, ...]) -> Iterator[Finding]:
    for file in files:
        found = (
            *_check_path(file),
            *_check_mode(file),
            *_check_symlink(file),
            *_check_file_size(file, policy),
            *_check_secrets(file, known),
        )
        for finding in found:
            if finding.decision is Decision.REJECT:
                message = f"{finding.message}, in a commit on the way"
                yield Finding(finding.rule, finding.path, finding.line, message, finding.decision)


def judge(
    files: Sequence[ChangedFile],
    policy: Policy,
    *,
    allowed_protected: Sequence[str] = (),
    known_secrets: Sequence[str] = (),
    history: Sequence[ChangedFile] = (),
    messages: Sequence[tuple[str, str]] = (),
) -> Verdict:
    """Judge a change.

    Args:
        files: The difference between the base and the head.
        policy: The repository's policy.
        allowed_protected: Globs that a person allowed for this task, though the policy protects or forbids them.
        known_secrets: Exact values that must not appear in any added line.
        history: What the single commits change, when there are several: a push publishes them too, so what was
            added and taken away again counts for what must never be published.
        messages: The commits and their messages, as (sha, text).
    """
    known = known_pieces(known_secrets)
    findings: list[Finding] = []
    for file in files:
        findings += _check_path(file)
        findings += _check_mode(file)
        findings += _check_symlink(file)
        findings += _check_protected(file, policy, allowed_protected)
        findings += _check_file_size(file, policy)
        findings += _check_secrets(file, known)
    findings += _check_size(files, policy)
    seen = {(finding.rule, finding.path) for finding in findings}
    findings += (found for found in _check_history(history, policy, known) if (found.rule, found.path) not in seen)
    for sha, text in messages:
        for what in find_credentials(text, known):
            message = f"the message of commit {sha[:12]} contains {what}"
            findings.append(Finding("secret", None, None, message, Decision.REJECT))
    decision = max((finding.decision for finding in findings), default=Decision.ALLOW)
    unique = dict.fromkeys(sorted(findings, key=lambda finding: -finding.decision))
    return Verdict(decision, tuple(unique)[:MAX_FINDINGS])
