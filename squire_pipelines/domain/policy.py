"""The diff policy: what an agent may change. Pure: values in, a verdict out; git is read in `publishing.diff`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from squire_pipelines.domain.change import (
    DEFAULT_BINARY,
    NO_TASK,
    ChangedFile,
    Decision,
    Finding,
    JudgedTask,
    Piece,
    Verdict,
)
from squire_pipelines.domain.globs import matches
from squire_pipelines.domain.hidden import MAX_BLANKS, MAX_LINE, hidden_character, is_far_away, is_no_text
from squire_pipelines.domain.leaks import pieces_of, search
from squire_pipelines.domain.links import Links, TooManyNamesError
from squire_pipelines.domain.manifests import is_manifest, named_command
from squire_pipelines.domain.names import (
    MAX_PATH_LENGTH,
    collisions,
    folders_and_files,
    is_dot_git,
    leads_out,
    leads_to,
    unportable,
)
from squire_pipelines.domain.protected import DOT_FILES, ORDINARY_DOT_FILES

REJECT_FACTOR = 10
_MODE_NONE = "000000"
_MODE_FILE = frozenset({"100644", "100664"})
_MODE_EXECUTABLE = "100755"
_MODE_SYMLINK = "120000"
_MODE_GITLINK = "160000"
WORKFLOWS = (".github/workflows", ".github/actions")
OWN_SETTINGS = (".github/squire.toml",)
"""By which a repository tightens the policy: no change of an agent's loosens it unseen."""

_SIZES = frozenset({"files", "lines", "bytes", "file_size", "binary_size"})
# What a program is expected to print, kept for a comparison: its colours are what is compared. Folders that hold other
# things too count for files of text alone, so that no code is among them.
_EXPECTED_OUTPUT = (
    *(f"**/{folder}/**" for folder in ("__snapshots__", "golden", "goldens", "expected", "highlighted")),
    *(f"**/*.{kind}" for kind in ("snap", "snapshot", "ambr", "golden", "expected", "stdout", "stderr", "ans", "ansi")),
    *(f"**/*.{kind}.*" for kind in ("snapshot", "golden", "expected", "approved")),
    *(f"**/{folder}/**/*.{kind}" for folder in ("snapshots", "testdata", "fixtures") for kind in ("txt", "out", "log")),
)
_CONTROL_OR_BACKSLASH = frozenset("\\\x7f" + "".join(map(chr, range(32))))
_LFS_POINTER = "version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a change may do without a person's approval; `REJECT_FACTOR` times a limit is refused outright.

    Only `allowed_paths` may be changed; none means all. Files that are no text need approval but for
    `binary_paths`. A path
    of `protected_paths` is refused, unless the task asks for it by name: then a person decides. With `hold_unasked` a
    person decides either way. `forbidden_paths` are refused whoever asks, since pushing a workflow to a branch already
    runs it with the repository's secrets, before anybody has seen the pull request
    (https://docs.github.com/en/actions/reference/events-that-trigger-workflows#push).
    """

    protected_paths: tuple[str, ...]
    max_files: int
    max_changed_lines: int
    max_bytes: int
    max_file_bytes: int
    max_binary_bytes: int = 512 * 2**10
    binary_paths: tuple[str, ...] = DEFAULT_BINARY
    allowed_paths: tuple[str, ...] = ()
    forbidden_paths: tuple[str, ...] = WORKFLOWS
    hold_unasked: bool = False


def _check_path(file: ChangedFile) -> Iterator[Finding]:
    components = file.path.split("/")
    if any(is_dot_git(component) for component in components):
        yield Finding("git_directory", file.path, None, "lies in a `.git` folder", Decision.REJECT)
    is_bad = any(component in {"", ".", ".."} for component in components)
    # What is there already has passed others' eyes; only a new name can pretend to be another.
    # A tab or a line break is ordinary within a text, and in no name.
    is_odd = not _CONTROL_OR_BACKSLASH.isdisjoint(file.path) or is_no_text(file.path)
    is_odd = is_odd or len(file.path) > MAX_PATH_LENGTH or hidden_character(file.path) is not None
    if is_bad or (is_odd and file.status == "A"):
        yield Finding("path", file.path, None, "is no ordinary relative path", Decision.REJECT)
    elif file.status == "A" and (reason := unportable(file.path)):
        yield Finding("name", file.path, None, reason, Decision.NEEDS_APPROVAL)


def _check_mode(file: ChangedFile) -> Iterator[Finding]:
    mode = file.new_mode
    if _MODE_GITLINK in {mode, file.old_mode}:
        yield Finding("submodule", file.path, None, "adds, changes or removes a submodule", Decision.REJECT)
    elif mode not in {*_MODE_FILE, _MODE_NONE, _MODE_EXECUTABLE, _MODE_SYMLINK}:
        yield Finding("mode", file.path, None, f"has the mode {mode}", Decision.REJECT)
    if mode == _MODE_EXECUTABLE and file.old_mode in _MODE_FILE:
        yield Finding("mode", file.path, None, "becomes executable", Decision.NEEDS_APPROVAL)


def _check_symlink(file: ChangedFile, known: frozenset[str] | None) -> Iterator[Finding]:
    if file.new_mode != _MODE_SYMLINK:
        return
    target = file.symlink_target or ""
    if leads_out(file.path, target):
        message = f"is a symbolic link out of the repository, to {target[:100]!r}"
        yield Finding("symlink", file.path, None, message, Decision.REJECT)
    elif known is not None and leads_to(file.path, target) not in {".", *known}:
        message = f"is a symbolic link to what the repository does not have, {target[:100]!r}"
        yield Finding("symlink", file.path, None, message, Decision.NEEDS_APPROVAL)


def _check_text(file: ChangedFile, policy: Policy) -> Iterator[Finding]:
    if file.new_mode in {_MODE_NONE, _MODE_SYMLINK, _MODE_GITLINK}:
        return
    if file.binary or any(is_no_text(line) for _, line in file.added_lines):
        if matches(file.path, policy.binary_paths) is None:
            message = "is no text, so that no rule reads it and GitHub does not show it"
            yield Finding("binary", file.path, None, message, Decision.NEEDS_APPROVAL)
        return
    may_color = matches(file.path, _EXPECTED_OUTPUT) is not None
    for number, line in file.added_lines:
        if sign := hidden_character(line, starts_file=number == 1, may_color=may_color):
            message = f"has the hidden character U+{ord(sign):04X}: it reads otherwise than it works"
            yield Finding("hidden_text", file.path, number, message, Decision.NEEDS_APPROVAL)
            break
    yield from _check_layout(file)
    if file.added_lines and file.added_lines[0][1].startswith(_LFS_POINTER):
        message = "is a pointer into Git LFS, whose content nobody here has seen"
        yield Finding("lfs_pointer", file.path, 1, message, Decision.NEEDS_APPROVAL)


def _check_layout(file: ChangedFile) -> Iterator[Finding]:
    """Find what stands where nobody looks: at the end of a long line, or behind a screen of blanks or empty lines."""
    empty_lines = 0
    for number, line in file.added_lines:
        if len(line) > MAX_LINE:
            message = f"has a line of {len(line)} characters, limit {MAX_LINE}: reviews fold it away"
            yield Finding("long_line", file.path, number, message, Decision.NEEDS_APPROVAL)
            return
        if is_far_away(line) or (empty_lines >= MAX_BLANKS and line.strip()):
            message = f"has something behind {MAX_BLANKS} blanks or empty lines, where nobody looks"
            yield Finding("hidden_text", file.path, number, message, Decision.NEEDS_APPROVAL)
            return
        empty_lines = 0 if line.strip() else empty_lines + 1


def _check_protected(file: ChangedFile, policy: Policy, asked: Sequence[str], links: Links) -> Iterator[Finding]:
    if policy.allowed_paths and not matches(file.path, policy.allowed_paths):
        message = "lies outside of the paths that this repository allows"
        yield Finding("outside_allowed", file.path, None, message, Decision.REJECT)
    try:
        # A file is judged by each of its names, and a link by what it makes of other files.
        names = [file.path, *links.names_of(file.path)]
        if file.new_mode == _MODE_SYMLINK:
            names += links.names_given_by(file.path)
    except TooManyNamesError:
        yield Finding("symlink", file.path, None, "has more names than are looked for", Decision.REJECT)
        return
    for name in names:
        if pattern := matches(name, policy.forbidden_paths):
            message = f"is forbidden by `{pattern}`: pushing it would run it with the repository's secrets"
            yield Finding("forbidden_path", file.path, None, message, Decision.REJECT)
            return
    findings = [finding for name in names if (finding := _protect(file, name, policy, asked)) is not None]
    yield from sorted(findings, key=lambda finding: -finding.decision.rank)[:1]


def _protect(file: ChangedFile, name: str, policy: Policy, asked: Sequence[str]) -> Finding | None:
    """Return what protects a file by one of its names."""
    is_asked = matches(name, asked) is not None
    pattern = protecting_pattern(name, policy.protected_paths)
    if pattern is None:
        return _check_manifest(file, name, is_asked=is_asked)
    needs_approval = is_asked or (policy.hold_unasked and matches(name, WORKFLOWS) is None)
    also = "" if name == file.path else f" as {name[:200]!r}, to which a symbolic link leads,"
    message = f"is protected{also} by `{pattern}`, and the task {'asks' if is_asked else 'does not ask'} for it"
    decision = Decision.NEEDS_APPROVAL if needs_approval else Decision.REJECT
    return Finding("protected_path", file.path, None, message, decision)


def protecting_pattern(path: str, protected_paths: Sequence[str]) -> str | None:
    """Return the pattern that protects a path, of those of the settings and those that always do; None for others."""
    return _protecting(path, (*protected_paths, *WORKFLOWS, *OWN_SETTINGS))


def _protecting(path: str, patterns: Sequence[str]) -> str | None:
    """Return the pattern that protects a path; that of all dot-files does not protect those that are content.

    Such a file is content only by itself: within another tool's folder it is that tool's.
    """
    dots = sum(part.startswith(".") for part in path.split("/"))
    if dots == 1 and matches(path, ORDINARY_DOT_FILES, beneath=False) is not None:
        patterns = [pattern for pattern in patterns if pattern != DOT_FILES]
    return matches(path, patterns)


def _check_manifest(file: ChangedFile, name: str, *, is_asked: bool) -> Finding | None:
    """Find a command that runs on installation, in a manifest that ordinary work changes."""
    decision = Decision.NEEDS_APPROVAL if is_asked else Decision.REJECT
    if file.new_mode == _MODE_SYMLINK and is_manifest(name):
        message = "makes a manifest of another file, whose commands are not among its lines"
        return Finding("install_script", file.path, None, message, decision)
    command = named_command(name, file.added_lines)
    if command is None:
        return None
    message = f"names a command that runs on installation ({command[1][:40]})"
    return Finding("install_script", file.path, command[0], message, decision)


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


def _check_collisions(files: Sequence[ChangedFile], known: frozenset[str]) -> Iterator[Finding]:
    added = [file.path for file in files if file.status == "A"]
    for path, other in collisions(added, known):
        message = f"is the same as {other[:200]!r} where case or the form of accents does not count"
        yield Finding("name", path, None, message, Decision.NEEDS_APPROVAL)


def _check_file(
    file: ChangedFile, policy: Policy, asked_paths: Sequence[str], known: frozenset[str] | None, links: Links
) -> Iterator[Finding]:
    yield from _check_path(file)
    yield from _check_mode(file)
    yield from _check_symlink(file, known)
    yield from _check_protected(file, policy, asked_paths, links)
    yield from _check_file_size(file, policy)
    yield from _check_text(file, policy)


def judge(
    files: Sequence[ChangedFile],
    policy: Policy,
    *,
    task: JudgedTask = NO_TASK,
    pieces: Sequence[Piece] = (),
    tree: Sequence[str] | None = None,
    links: Sequence[tuple[str, str]] = (),
) -> Verdict:
    """Judge a change.

    Args:
        files: The difference between the base and the head.
        policy: The repository's policy.
        task: What the attempt knows and its task asks for.
        pieces: What else is searched for secrets: every object that the agent made, also what it took away again.
        tree: The paths of all files at the head; None where nobody knows them.
        links: Path and target of each symbolic link at the head.
    """
    known = None if tree is None else folders_and_files(tree)
    named = Links(links, tree or ())
    findings = [finding for file in files for finding in _check_file(file, policy, task.asked_paths, known, named)]
    findings += _check_collisions(files, known or frozenset())
    findings += _check_size(files, policy)
    # What is far too large is not published, so there is no need to search it.
    if not any(finding.decision is Decision.REJECT and finding.rule in _SIZES for finding in findings):
        findings += search(chain(pieces_of(files), pieces), task)
    return Verdict.of(findings)
