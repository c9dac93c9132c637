"""The diff policy: what an agent may change. Pure: values in, a verdict out; git is read in `publishing.diff`."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from posixpath import dirname

from squire_pipelines.domain.change import (
    NO_TASK,
    ChangedFile,
    Decision,
    Finding,
    JudgedTask,
    Piece,
    Verdict,
)
from squire_pipelines.domain.leaks import pieces_of, search

REJECT_FACTOR = 10
MAX_PATH_LENGTH = 4096
_MODE_NONE = "000000"
_MODE_FILE = frozenset({"100644", "100664"})
_MODE_EXECUTABLE = "100755"
_MODE_SYMLINK = "120000"
_MODE_GITLINK = "160000"
# Characters that reverse a text's order, are invisible, or move a terminal's cursor: a reviewer sees another text than
# a compiler does (https://trojansource.codes).
HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\x1b\x08]")
WORKFLOWS = (".github/workflows", ".github/actions")
_SIZES = frozenset({"files", "lines", "bytes", "file_size", "binary_size"})
_LFS_POINTER = "version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a change may do without a person's approval; `REJECT_FACTOR` times a limit is refused outright.

    Only `allowed_paths` may be changed; none means all. A path of `protected_paths` is refused, unless the task asks
    for it by name: then a person decides. With `hold_unasked` a person decides either way. `forbidden_paths` are
    refused whoever asks, since pushing a workflow to a branch already runs it with the repository's secrets, before
    anybody has seen the pull request
    (https://docs.github.com/en/actions/reference/events-that-trigger-workflows#push).
    """

    protected_paths: tuple[str, ...]
    max_files: int
    max_changed_lines: int
    max_bytes: int
    max_file_bytes: int
    max_binary_bytes: int = 512 * 2**10
    allowed_paths: tuple[str, ...] = ()
    forbidden_paths: tuple[str, ...] = WORKFLOWS
    hold_unasked: bool = False


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
    """Return the first of `patterns` that `path` or a folder above it matches, in any case; None when none does.

    `*` and `?` stay within a folder, `**/` is any number of folders, `dir/**` is everything beneath `dir`.
    """
    folded = unicodedata.normalize("NFC", path).casefold()
    return next((pattern for pattern in patterns if _compile(pattern).fullmatch(folded)), None)


def _is_dot_git(component: str) -> bool:
    """Return whether some file system reads the component as `.git`: HFS+ ignores marks, NTFS dots and streams."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", component) if unicodedata.category(c) != "Cf")
    plain = visible.casefold().split(":", 1)[0].rstrip(". ")
    return plain == ".git" or re.fullmatch(r"git~\d+", plain) is not None


def _check_path(file: ChangedFile) -> Iterator[Finding]:
    components = file.path.split("/")
    if any(_is_dot_git(component) for component in components):
        yield Finding("git_directory", file.path, None, "lies in a `.git` folder", Decision.REJECT)
    bad = any(component in {"", ".", ".."} for component in components)
    # Cf: characters that are invisible or reverse the order, so that a reviewer reads another path.
    odd = any(c == "\\" or unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in file.path)
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


def _check_text(file: ChangedFile) -> Iterator[Finding]:
    if file.binary:
        return
    for number, line in file.added_lines:
        if match := HIDDEN.search(line):
            message = f"has the hidden character U+{ord(match[0]):04X}: it reads otherwise than it works"
            yield Finding("hidden_text", file.path, number, message, Decision.NEEDS_APPROVAL)
            break
    if file.added_lines and file.added_lines[0][1].startswith(_LFS_POINTER):
        message = "is a pointer into Git LFS, whose content nobody here has seen"
        yield Finding("lfs_pointer", file.path, 1, message, Decision.NEEDS_APPROVAL)


def _check_protected(file: ChangedFile, policy: Policy, asked: Sequence[str]) -> Iterator[Finding]:
    if policy.allowed_paths and not matches(file.path, policy.allowed_paths):
        message = "lies outside of the paths that this repository allows"
        yield Finding("outside_allowed", file.path, None, message, Decision.REJECT)
    if pattern := matches(file.path, policy.forbidden_paths):
        message = f"is forbidden by `{pattern}`: pushing it would run it with the repository's secrets"
        yield Finding("forbidden_path", file.path, None, message, Decision.REJECT)
        return
    pattern = matches(file.path, (*policy.protected_paths, *WORKFLOWS))
    if pattern is None:
        return
    if matches(file.path, asked):
        message = f"is protected by `{pattern}`, and the task asks for it"
        yield Finding("protected_path", file.path, None, message, Decision.NEEDS_APPROVAL)
    else:
        needs_approval = policy.hold_unasked and matches(file.path, WORKFLOWS) is None
        decision = Decision.NEEDS_APPROVAL if needs_approval else Decision.REJECT
        message = f"is protected by `{pattern}`, and the task does not ask for it"
        yield Finding("protected_path", file.path, None, message, decision)


def _over(rule: str, path: str | None, value: int, limit: int, text: str) -> Iterator[Finding]:
    if value > limit:
        decision = Decision.REJECT if value > limit * REJECT_FACTOR else Decision.NEEDS_APPROVAL
        yield Finding(rule, path, None, f"{text.format(value)}, limit {limit}", decision)


def _check_file_size(file: ChangedFile, policy: Policy) -> Iterator[Finding]:
    yield from _over("file_size", file.path, file.bytes, policy.max_file_bytes, "file of {} bytes")
    if file.binary:
        yield from _over("binary_size", file.path, file.bytes, policy.max_binary_bytes, "binary file of {} bytes")


def _check_size(files: Sequence[ChangedFile], policy: Policy) -> Iterator[Finding]:
    lines = sum(file.added + file.deleted for file in files)
    yield from _over("files", None, len(files), policy.max_files, "{} files changed")
    yield from _over("lines", None, lines, policy.max_changed_lines, "{} lines changed")
    yield from _over("bytes", None, sum(file.bytes for file in files), policy.max_bytes, "{} bytes in changed files")


def _check_file(file: ChangedFile, policy: Policy, asked_paths: Sequence[str]) -> Iterator[Finding]:
    yield from _check_path(file)
    yield from _check_mode(file)
    yield from _check_symlink(file)
    yield from _check_protected(file, policy, asked_paths)
    yield from _check_file_size(file, policy)
    yield from _check_text(file)


def judge(
    files: Sequence[ChangedFile],
    policy: Policy,
    *,
    task: JudgedTask = NO_TASK,
    pieces: Sequence[Piece] = (),
) -> Verdict:
    """Judge a change.

    Args:
        files: The difference between the base and the head.
        policy: The repository's policy.
        task: What the attempt knows and its task asks for.
        pieces: What else is searched for secrets: every object that the agent made, also what it took away again.
    """
    findings = [finding for file in files for finding in _check_file(file, policy, task.asked_paths)]
    findings += _check_size(files, policy)
    # What is far too large is not published, so there is no need to search it.
    if not any(finding.decision is Decision.REJECT and finding.rule in _SIZES for finding in findings):
        findings += search(chain(pieces_of(files), pieces), task)
    return Verdict.of(findings)
