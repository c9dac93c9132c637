"""An attempt's folder: writing what the agent is given, and taking over what it left.

What it left is a parcel from a stranger: every name in `out/` may be a symlink, a pipe, a directory or without end.
"""

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from squire_pipelines.agents.model import AgentResult, AttemptFolder, AttemptInputs
from squire_pipelines.domain import canary
from squire_pipelines.errors import WorkspaceError
from squire_pipelines.files import open_atomically, write_atomically

NOTES_FILE = "notes.json"
RESULT_FILE = "result.json"
BUNDLE_FILE = "result.bundle"
MAX_RESULT_BYTES = 256 * 1024
_CHUNK_BYTES = 1024 * 1024
_MAX_ENTRIES = 10_000
_MAX_DEPTH = 8
# O_NONBLOCK: opening a pipe that nobody writes to must not wait.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_DIR_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


def write_inputs(inputs: AttemptInputs, bundle: Path, *, notes: tuple[str, ...] = ()) -> AttemptFolder:
    """Lay out the attempt's folder and write what the agent is given.

    The folder itself is ours alone (0700); within it `in` may be read and `out` be written by whatever user the
    container runs as, which engines map in different ways. Repeating it is harmless and leaves `out` as it is.
    `notes` are kept for the pull request, where the agent cannot change them. `in` also has the attempt's canary.

    Raises:
        WorkspaceError: The folder or a file cannot be written, or `bundle` cannot be read.
    """
    folder = inputs.folder
    try:
        folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.root.chmod(0o700)
        for directory, mode in ((folder.inbox, 0o755), (folder.out, 0o777), (folder.keep, 0o700)):
            directory.mkdir(exist_ok=True)
            directory.chmod(mode)
        _write(folder.inbox / "attempt.json", inputs.attempt_json())
        _write(folder.inbox / "task.json", inputs.task_json)
        _write(folder.inbox / "prompt.md", inputs.prompt)
        _write(folder.inbox / canary.FILE, canary.canary_file(inputs.attempt_id))
        _write(folder.keep / NOTES_FILE, json.dumps(notes))
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


def _write(path: Path, text: str) -> None:
    # Not synced: after a loss of power the folder is written again.
    write_atomically(path, text.encode(), mode=0o644, durable=False)


def read_notes(folder: AttemptFolder) -> tuple[str, ...]:
    """The notes that `write_inputs` kept; empty when there are none."""
    try:
        return tuple(json.loads((folder.keep / NOTES_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()


@contextlib.contextmanager
def _opened(out_dir: Path, name: str, max_bytes: int) -> Iterator[int]:
    """A descriptor of the regular file `name`, at most `max_bytes` long. Raises FileNotFoundError, WorkspaceError."""
    with contextlib.ExitStack() as stack:
        try:
            directory = os.open(out_dir, _OPEN_DIR_FLAGS)
            stack.callback(os.close, directory)
            descriptor = os.open(name, _OPEN_FLAGS, dir_fd=directory)
            stack.callback(os.close, descriptor)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _refused(name, f"cannot be opened as a file: {error.strerror}") from error
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _refused(name, "is no regular file")
        if found.st_size > max_bytes:
            raise _refused(name, f"has {found.st_size} bytes, the limit is {max_bytes}")
        yield descriptor


def _refused(name: str, why: str) -> WorkspaceError:
    return WorkspaceError(f"{name} {why}", context={"file": name})


def read_result(out_dir: Path, max_bytes: int = MAX_RESULT_BYTES) -> AgentResult:
    """Parse `result.json` of at most `max_bytes`. Follows no symlink and never waits.

    Raises:
        WorkspaceError: It is missing, no regular file, too large, or not what an entrypoint writes.
    """
    try:
        with _opened(out_dir, RESULT_FILE, max_bytes) as descriptor:
            text = _read_bounded(descriptor, max_bytes)
    except FileNotFoundError as error:
        raise _refused(RESULT_FILE, "is missing") from error
    try:
        return AgentResult.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise _refused(RESULT_FILE, f"is not what the entrypoint writes: {where}: {first['msg']}") from error


def _read_bounded(descriptor: int, max_bytes: int) -> bytes:
    data = bytearray()
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        data += chunk
        if len(data) > max_bytes:  # it grew since its size was read
            raise _refused(RESULT_FILE, f"has more than {max_bytes} bytes")
    return bytes(data)


def take_bundle(folder: AttemptFolder, max_bytes: int) -> Path | None:
    """Copy `out/result.bundle` to `keep/result.bundle`; None when there is none.

    Raises:
        WorkspaceError: It is no regular file, has more than `max_bytes`, or cannot be copied.
    """
    return take_output(folder.out, BUNDLE_FILE, folder.keep / BUNDLE_FILE, max_bytes)


def take_output(out_dir: Path, name: str, target: Path, max_bytes: int) -> Path | None:
    """Copy a file that was left to `target`, whole or not at all; None when there is none. Raises as `take_bundle`."""
    try:
        with _opened(out_dir, name, max_bytes) as source, open_atomically(target) as copy:
            copied = 0
            while chunk := os.read(source, _CHUNK_BYTES):
                copied += len(chunk)
                if copied > max_bytes:
                    raise _refused(name, f"has more than {max_bytes} bytes")
                copy.write(chunk)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(name, f"cannot be copied: {error.strerror}") from error
    return target


def read_output(out_dir: Path, name: str, max_bytes: int) -> bytes:
    """A file that was left, at most `max_bytes` long. Raises FileNotFoundError, WorkspaceError."""
    with _opened(out_dir, name, max_bytes) as descriptor:
        return _read_bounded(descriptor, max_bytes)


def add_input(folder: AttemptFolder, source: Path, name: str) -> None:
    """Put a file of ours into `in/`, without a copy where the file system can. Raises WorkspaceError."""
    target = folder.inbox / name
    try:
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:  # another file system
            shutil.copyfile(source, target)
            target.chmod(0o644)
    except OSError as error:
        raise WorkspaceError(
            f"{source} cannot be handed in: {error.strerror}", hint="check the free space of the attempts folder"
        ) from error


@dataclass(frozen=True, slots=True)
class Usage:
    """How much lies in a directory: bytes as allocated or as long as a file claims, whichever is more."""

    bytes: int
    entries: int
    bounded: bool

    def exceeds(self, max_bytes: int) -> bool:
        """Whether it is more than `max_bytes`, or too much to count."""
        return self.bounded or self.bytes > max_bytes


def measure(out_dir: Path, *, max_entries: int = _MAX_ENTRIES, max_depth: int = _MAX_DEPTH) -> Usage:
    """Measure a directory that a stranger is writing to, following no symlink.

    Stops after `max_entries` entries or at a depth of `max_depth` and says so in `bounded`. What vanishes meanwhile
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
    with os.scandir(directory) as found:
        for entry in found:
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
