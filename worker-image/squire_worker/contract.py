"""Holds what host and worker agree on: the checked inputs, the outputs, and the names of the endings.

No git and no processes here. The host's side of the same contract is squire_pipelines/agents.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

SCHEMA = 1
# Of attempt.json: a host writes 2 when an older entrypoint would leave out a part of what it says.
ATTEMPT_SCHEMAS = (1, 2)
EXIT_CODES = {
    "input_invalid": 120,
    "relay_failed": 120,
    "git_failed": 121,
    "output_full": 122,
    "door_away": 123,
    "agent_not_executable": 126,
    "agent_not_found": 127,
    "terminated": 143,
}
MAX_INPUT_BYTES = 4_000_000
PARTIAL = ".result.json.part"
TEXTS = (
    "attempt_id",
    "repository",
    "base_ref",
    "base_sha",
    "branch",
    "bot_name",
    "bot_email",
    "commit_message",
)
COMMIT_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
FILE_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
_PART = r"(?!\.{1,2}(?:/|\Z))(?!(?i:\.git)(?:/|\Z))"
DOTTED_NAME = re.compile(rf"{_PART}[\w.-]+(/{_PART}[\w.-]+)*", re.ASCII)
LEFTOVER = re.compile(r"(?!/|\*/?\Z)[\w.*~#-]{2,100}/?", re.ASCII)
PATH_PATTERN = re.compile(rf"{_PART}[\w.*-]+(/{_PART}[\w.*-]+)*", re.ASCII)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _are_texts_by(name: re.Pattern[str], value: object) -> bool:
    return isinstance(value, dict) and _are_texts([*value.values()]) and all(name.fullmatch(key) for key in value)


def _are_all(pattern: re.Pattern[str], value: object) -> bool:
    return _are_texts(value) and all(pattern.fullmatch(part) for part in value)  # type: ignore[attr-defined]  # a list


class FailedError(Exception):
    """A named ending: `code` is a key of EXIT_CODES."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def fail(code: str, message: str) -> NoReturn:
    """Ends the attempt under a name."""
    raise FailedError(code, message)


def note(text: str) -> None:
    """One line for the host, on stderr."""
    sys.stderr.write(f"squire: {text}\n")
    sys.stderr.flush()


@dataclass(frozen=True)
class Paths:
    """Where the host put the inputs and wants the outputs."""

    inbox: Path
    out: Path
    work: Path

    @property
    def repo(self) -> Path:
        """The clone, where the agent runs."""
        return self.work / "repo"

    def read(self, name: str) -> str:
        """Return the text of an input; fail when it is missing, larger than 4 MB or not UTF-8."""
        try:
            with (self.inbox / name).open("rb") as file:
                data = file.read(MAX_INPUT_BYTES + 1)
            if len(data) > MAX_INPUT_BYTES:
                fail("input_invalid", f"{name} is larger than {MAX_INPUT_BYTES} bytes")
            return data.decode()
        except (OSError, UnicodeDecodeError) as error:
            fail("input_invalid", f"{name} cannot be read: {error}")


@dataclass(frozen=True)
class Attempt:
    """attempt.json, checked."""

    attempt_id: str
    repository: str
    base_ref: str
    base_sha: str
    branch: str
    bot_name: str
    bot_email: str
    commit_message: str
    kind: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    files: dict[str, str]
    version: tuple[str, ...]
    hands_out: bool = True
    takes_empty: bool = False
    stdin: str | None = None
    home: dict[str, str] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Attempt:
        """Check the document; fail with `input_invalid`, which names the field."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            fail("input_invalid", f"attempt.json is not JSON: {error}")
        if (
            not isinstance(raw, dict)
            or raw.get("schema") not in ATTEMPT_SCHEMAS
            or not isinstance(raw.get("agent"), dict)
        ):
            fail(
                "input_invalid", "attempt.json is not of schema 1 or 2: the worker image and Squire do not fit together"
            )
        agent = raw["agent"]
        kind, argv, version = agent.get("kind"), agent.get("argv"), agent.get("version", [])
        environment, files = agent.get("environment", {}), agent.get("files", {})
        stdin, home = agent.get("stdin"), agent.get("home", {})
        exclude, restore = agent.get("exclude", []), agent.get("restore", [])
        leftovers = raw.get("leftovers", [])
        for name in TEXTS:
            if not isinstance(raw.get(name), str) or not raw[name]:
                fail("input_invalid", f"{name} must be a text that is not empty")
        rules = {
            "base_sha must be a full commit id": COMMIT_ID.fullmatch(raw["base_sha"]),
            "agent.kind must be a name": isinstance(kind, str) and kind,
            "agent.argv must be a list of texts": _are_texts(argv) and argv and argv[0],
            "agent.version must be a list of texts": _are_texts(version),
            "agent.environment must be texts by name": isinstance(environment, dict)
            and _are_texts([*environment.values()]),
            "agent.files must be texts by relative name": _are_texts_by(FILE_NAME, files),
            "agent.stdin must be a text": stdin is None or isinstance(stdin, str),
            "agent.home must be texts by relative name": _are_texts_by(DOTTED_NAME, home),
            "agent.exclude must be patterns of relative paths": _are_all(PATH_PATTERN, exclude)
            and all(pattern.strip("*/") for pattern in exclude),
            "agent.restore must be relative paths": _are_all(DOTTED_NAME, restore),
            "leftovers must be patterns of names": _are_all(LEFTOVER, leftovers),
        }
        for message, holds in rules.items():
            if not holds:
                fail("input_invalid", message)
        texts = {name: raw[name] for name in TEXTS}
        return cls(
            kind=kind,
            argv=tuple(argv),
            environment=environment,
            files=files,
            version=tuple(version),
            hands_out=raw.get("hands_out") is not False,
            takes_empty=raw.get("takes_empty") is True,
            stdin=stdin,
            home=home,
            exclude=tuple(exclude),
            restore=tuple(restore),
            leftovers=tuple(leftovers),
            **texts,
        )

    def identity(self) -> dict[str, str]:
        """Return the bot as author and committer, in git's environment variables."""
        roles = ("AUTHOR", "COMMITTER")
        names = {f"GIT_{role}_NAME": self.bot_name for role in roles}
        return names | {f"GIT_{role}_EMAIL": self.bot_email for role in roles}


@dataclass
class Result:
    """result.json as it grows. Until something better is known, it says that the entrypoint broke."""

    status: str = "error"
    agent_exit_code: int | None = None
    head_sha: str | None = None
    commits: int = 0
    uncommitted_committed: bool = False
    left_out: list[str] = field(default_factory=list)
    error: dict[str, str] | None = None
    timings: dict[str, float | str | None] = field(
        default_factory=lambda: dict.fromkeys(("clone_s", "agent_start", "agent_end", "bundle_s"))
    )
    agent_version: str | None = None

    def fail(self, code: str, message: str) -> None:
        """A failed attempt hands out nothing."""
        self.status, self.head_sha, self.commits = "error", None, 0
        self.error = {"code": code, "message": message}

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Records the seconds that the block took."""
        started = time.monotonic()
        yield
        self.timings[name] = round(time.monotonic() - started, 3)

    def stamp(self, name: str) -> None:
        """Records the time of day, RFC 3339 in UTC."""
        now = datetime.now(timezone.utc)  # noqa: UP017 - Python 3.9 has no datetime.UTC
        self.timings[name] = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def write(self, out: Path) -> None:
        """Whole or not at all: written beside, fsynced, renamed. A failed or empty attempt hands out nothing else."""
        clear(out, "result.json", PARTIAL, *(() if self.status == "changed" else ("result.bundle",)))
        with (out / PARTIAL).open("x", encoding="utf-8") as file:
            json.dump({"schema": SCHEMA, **asdict(self)}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        (out / PARTIAL).replace(out / "result.json")


def is_full(folder: Path) -> bool:
    """Return whether nothing can be written there any more."""
    room = os.statvfs(folder)
    return room.f_bavail == 0 or (room.f_files > 0 and room.f_favail == 0)


def clear(folder: Path, *names: str) -> None:
    """Removes what the agent, which may write there too, has put in our way: files and links; folders are moved."""
    for path in (folder / name for name in names):
        if path.is_dir() and not path.is_symlink():
            # Not removed: it may be deeper than Python's recursion, or closed to us.
            path.rename(Path(tempfile.mkdtemp(dir=folder, prefix=f".{path.name}.")) / path.name)
        else:
            path.unlink(missing_ok=True)
