"""Writes what an agent is given into its attempt's folder, and takes over what it left there.

What it left is a stranger's: every name in `out/` may be a symlink, a pipe, a directory or a file without end.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from squire_pipelines.agents.evidence_files import EVIDENCE_FOLDER, EvidenceFile
from squire_pipelines.agents.model import AgentResult, AttemptFolder, AttemptInputs
from squire_pipelines.domain import canary
from squire_pipelines.errors import WorkspaceError
from squire_pipelines.files import copy_bounded, open_atomically, open_untrusted, write_atomically
from squire_pipelines.home import make_folder

NOTES_FILE = "notes.json"
RESULT_FILE = "result.json"
BUNDLE_FILE = "result.bundle"
DIFF_FILE = "change.diff"
"""In an attempt's `keep`: what its change does, as people read it; see `publishing.diff`."""

CHECKS_FILE = "verification.json"
SETUP_FILE = "setup.tar"
MAX_RESULT_BYTES = 256 * 1024
MAX_CHECKS_BYTES = 512 * 1024
_MAX_ENTRIES = 10_000
_MAX_DEPTH = 8
_OPEN_DIR_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


def write_inputs(
    inputs: AttemptInputs, bundle: Path, *, notes: tuple[str, ...] = (), evidence: Sequence[EvidenceFile] = ()
) -> AttemptFolder:
    """Create the attempt's folder and write what the agent is given.

    The folder itself is ours alone (0700); within it `in` may be read by whatever user the container runs as, which
    engines map in different ways. Repeating it is harmless and leaves `out` as it is. `notes` are kept for the pull
    request, where the agent cannot change them. `evidence` becomes files in a folder of `in`, with names of ours. `in`
    also has the attempt's canary.

    Raises:
        WorkspaceError: The folder or a file cannot be written, or `bundle` cannot be read.
    """
    folder = inputs.folder
    try:
        make_folder(folder.root).chmod(0o700)  # an earlier version may have made it
        for directory, mode in ((folder.inbox, 0o755), (folder.out, 0o700), (folder.keep, 0o700)):
            directory.mkdir(exist_ok=True)
            directory.chmod(mode)
        _write(folder.inbox / "attempt.json", inputs.attempt_json())
        _write(folder.inbox / "task.json", inputs.task_json)
        _write(folder.inbox / "prompt.md", inputs.prompt)
        _write(folder.inbox / canary.FILE, canary.canary_file(inputs.attempt_id))
        _write(folder.keep / NOTES_FILE, json.dumps(notes), mode=0o600)
        if evidence:
            directory = folder.inbox / EVIDENCE_FOLDER
            directory.mkdir(exist_ok=True)
            directory.chmod(0o755)
            for file in evidence:
                _write(directory / file.name, file.text)
        partial = folder.inbox / ".repo.bundle.part"
        shutil.copyfile(bundle, partial)
        partial.chmod(0o644)
        partial.replace(folder.inbox / "repo.bundle")
    except OSError as error:
        raise WorkspaceError(
            f"the workspace of attempt {inputs.attempt_id} cannot be written: {error}",
            hint="check the free space and the owner of the attempts folder",
            context={"path": str(folder.root)},
        ) from error
    return folder


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    # Not synced: after a loss of power the folder is written again.
    write_atomically(path, text.encode(), mode=mode, durable=False)


def read_notes(folder: AttemptFolder) -> tuple[str, ...]:
    """Return the notes that `write_inputs` kept; empty when there are none."""
    try:
        return tuple(json.loads((folder.keep / NOTES_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()


@contextlib.contextmanager
def _opened(out_dir: Path, name: str, max_bytes: int) -> Iterator[BinaryIO]:
    """Open the regular file `name`, at most `max_bytes` long. Raises FileNotFoundError, WorkspaceError."""
    try:
        directory = os.open(out_dir, _OPEN_DIR_FLAGS)
        try:
            file = open_untrusted(name, dir_fd=directory)
        finally:
            os.close(directory)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refused(name, f"cannot be opened as a file: {error.strerror}") from error
    with file:
        if (size := os.fstat(file.fileno()).st_size) > max_bytes:
            raise _refused(name, f"has {size} bytes, the limit is {max_bytes}")
        yield file


def _refused(name: str, reason: str) -> WorkspaceError:
    return WorkspaceError(f"{name} {reason}", context={"file": name})


def read_output(out_dir: Path, name: str, max_bytes: int) -> bytes:
    """Return a file that was left, at most `max_bytes` long. Raises FileNotFoundError, WorkspaceError."""
    with _opened(out_dir, name, max_bytes) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:  # it grew since its size was read
        raise _refused(name, f"has more than {max_bytes} bytes")
    return data


def read_result(out_dir: Path, max_bytes: int = MAX_RESULT_BYTES) -> AgentResult:
    """Parse `result.json` of at most `max_bytes`. Follows no symlink and never waits.

    Raises:
        WorkspaceError: It is missing, no regular file, too large, or not what an entrypoint writes.
    """
    try:
        return AgentResult.model_validate_json(read_output(out_dir, RESULT_FILE, max_bytes), strict=True)
    except FileNotFoundError as error:
        raise _refused(RESULT_FILE, "is missing") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise _refused(RESULT_FILE, f"is not what the entrypoint writes: {place}: {first['msg']}") from error


def take_output(out_dir: Path, name: str, target: Path, max_bytes: int) -> Path | None:
    """Copy a file that was left to `target`, whole or not at all; return None when there is none.

    Raises:
        WorkspaceError: It is no regular file, has more than `max_bytes`, or cannot be copied.
    """
    try:
        with _opened(out_dir, name, max_bytes) as source, open_atomically(target) as copy:
            if not copy_bounded(source, copy, max_bytes):  # it grew since its size was read
                raise _refused(name, f"has more than {max_bytes} bytes")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(name, f"cannot be copied: {error.strerror}") from error
    return target


def take_bundle(folder: AttemptFolder, max_bytes: int) -> Path | None:
    """Copy `out/result.bundle` to `keep/result.bundle` as `take_output` does."""
    return take_output(folder.out, BUNDLE_FILE, folder.keep / BUNDLE_FILE, max_bytes)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file another name, or copy it where the file system cannot. Raises OSError."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another file system
        shutil.copyfile(source, target)


def add_input(folder: AttemptFolder, source: Path, name: str) -> None:
    """Put a file of ours into `in/`, without a copy where the file system can. Raises WorkspaceError."""
    target = folder.inbox / name
    try:
        link_or_copy(source, target)
        # The container's user reads it, who is not ours; the folders above it are closed to everybody else.
        target.chmod(0o644)
    except OSError as error:
        raise WorkspaceError(
            f"{source} cannot be put into the attempt's inputs: {error.strerror}",
            hint="check the free space of the attempts folder",
        ) from error


@dataclass(frozen=True, slots=True)
class Usage:
    """How much lies in a directory: the allocated or the apparent size of each file, whichever is more."""

    bytes: int
    entries: int
    bounded: bool

    def exceeds(self, max_bytes: int) -> bool:
        """Return whether it is more than `max_bytes`, or too much to count."""
        return self.bounded or self.bytes > max_bytes


def measure(out_dir: Path, *, max_entries: int = _MAX_ENTRIES, max_depth: int = _MAX_DEPTH) -> Usage:
    """Measure a directory that a stranger is writing to, following no symlink.

    It stops after `max_entries` entries or at a depth of `max_depth` and says so in `bounded`. What vanishes meanwhile
    counts nothing; a directory that cannot be read counts as too much.
    """
    try:
        root = os.open(out_dir, _OPEN_DIR_FLAGS)
    except FileNotFoundError:
        return Usage(0, 0, bounded=False)
    except OSError:
        return Usage(0, 0, bounded=True)
    try:
        return _measure(root, max_entries, max_depth)
    finally:
        os.close(root)


def _measure(directory: int, max_entries: int, depth: int) -> Usage:
    total = entries = 0
    with os.scandir(directory) as listing:
        for entry in listing:
            entries += 1
            if entries > max_entries:
                return Usage(total, entries, bounded=True)
            try:
                status = entry.stat(follow_symlinks=False)
                total += max(status.st_size, status.st_blocks * 512)
                if not entry.is_dir(follow_symlinks=False):
                    continue
                if depth == 0:
                    return Usage(total, entries, bounded=True)
                child = os.open(entry.name, _OPEN_DIR_FLAGS, dir_fd=directory)
            except FileNotFoundError:
                continue
            except OSError:
                return Usage(total, entries, bounded=True)
            try:
                below = _measure(child, max_entries - entries, depth - 1)
            finally:
                os.close(child)
            total += below.bytes
            entries += below.entries
            if below.bounded:
                return Usage(total, entries, bounded=True)
    return Usage(total, entries, bounded=False)
