"""Reads the old product's tasks from its JSON files into frozen models. Nothing here writes.

A task file is one object; Steward's state file is `{"tasks": [...]}` with fewer fields. What cannot be read becomes an
entry that says why, so that the rest can be read.
"""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from squire_pipelines.domain.identity import parse_repository
from squire_pipelines.domain.moments import check_moment

MAX_FILE = 64 * 2**20
"""The most bytes of a file that is read whole."""

MAX_LINE = 16 * 2**20
"""The most bytes of one line of an export."""

MAX_FILES = 1_000_000


def _iso(value: Any) -> Any:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return check_moment(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    raise ValueError("is no time as ISO 8601 has it")


Moment = Annotated[datetime, BeforeValidator(_iso)]


class OldTask(BaseModel):
    """A task of the old product; `dispatched` is Steward's word for one whose end it never learned."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    id: str = Field(min_length=1, max_length=200, validation_alias=AliasChoices("id", "taskId"))
    repo: Annotated[str, AfterValidator(parse_repository)]
    prompt: str = Field(min_length=1, max_length=50_000)
    status: Literal["pending", "running", "completed", "failed", "dispatched"]
    created_at: Moment = Field(validation_alias=AliasChoices("createdAt", "dispatchedAt"))
    started_at: Moment | None = Field(default=None, validation_alias="startedAt")
    completed_at: Moment | None = Field(default=None, validation_alias="completedAt")
    branch: str | None = None
    base_branch: str | None = Field(default=None, validation_alias="baseBranch", max_length=255)
    pr_url: str | None = Field(default=None, validation_alias="prUrl")
    pr_number: int | None = Field(default=None, validation_alias="prNumber", ge=1, lt=2**31)
    pr_merged: bool = Field(default=False, validation_alias="prMerged")
    pr_merged_at: Moment | None = Field(default=None, validation_alias="prMergedAt")
    pr_closed: bool = Field(default=False, validation_alias="prClosed")
    pr_closed_at: Moment | None = Field(default=None, validation_alias="prClosedAt")
    ci_failed: bool = Field(default=False, validation_alias="ciFailed")
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at one place: an old task, a line of an export (`facts`), or the reason why it is neither."""

    file: str
    where: str
    old: OldTask | None = None
    facts: dict[str, Any] | None = None
    problem: str | None = None


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield all entries of a file, or of the files of a folder and of its folder `tasks`. Raises OSError for `path`."""
    if not stat.S_ISDIR(path.stat().st_mode):
        yield from _read_file(path, follow=True)
        return
    files = [
        file
        for folder in (path, path / "tasks")
        if folder.is_dir()
        for file in folder.iterdir()
        if file.suffix in {".json", ".jsonl"}
    ]
    # A task's own file says more of it than Steward's list does.
    files.sort(key=lambda file: (file.name.startswith("steward"), file))
    for file in files[:MAX_FILES]:
        yield from _read_file(file, follow=False)
    if files[MAX_FILES:]:
        problem = f"there are more than {MAX_FILES} files; this one and those after it are left out"
        yield Entry(files[MAX_FILES].name, "", problem=problem)


def _read_file(path: Path, *, follow: bool) -> Iterator[Entry]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                yield Entry(path.name, "", problem="is no plain file")
            elif path.suffix == ".jsonl":
                yield from _read_lines(path.name, file)
            elif status.st_size > MAX_FILE:
                yield Entry(path.name, "", problem=f"has {status.st_size} bytes, more than {MAX_FILE}")
            else:
                yield from _read_whole(path.name, file.read(MAX_FILE + 1))
    except OSError as error:
        link = path.is_symlink() and not follow
        yield Entry(path.name, "", problem="is a symbolic link" if link else f"cannot be read: {error.strerror}")


def _read_lines(name: str, file: BinaryIO) -> Iterator[Entry]:
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        where = f"line {number}"
        if len(line) > MAX_LINE:
            yield Entry(name, where, problem=f"has more than {MAX_LINE} bytes; the lines after it are left out")
            return
        if line.strip():
            value, problem = _parse(line)
            yield Entry(name, where, problem=problem) if problem else _entry(name, where, value)


def _read_whole(name: str, content: bytes) -> Iterator[Entry]:
    value, problem = _parse(content)
    several = value.get("tasks") if isinstance(value, dict) and "id" not in value else value
    if problem:
        yield Entry(name, "", problem=problem)
    elif isinstance(several, list):
        for number, task in enumerate(several, start=1):
            yield _entry(name, f"task {number}", task)
    else:
        yield _entry(name, "", value)


def _parse(content: bytes) -> tuple[Any, str | None]:
    """Return the value that `content` is as JSON, or the reason why it is none."""
    try:
        return json.loads(content.decode("utf-8-sig")), None
    except UnicodeDecodeError as error:
        return None, f"is not UTF-8 (byte {error.start})"
    except json.JSONDecodeError as error:
        return None, f"is no JSON: {error.msg} in line {error.lineno}"
    except (RecursionError, ValueError) as error:
        return None, f"is no JSON that can be read: {error}"


def _entry(name: str, where: str, value: Any) -> Entry:
    if not isinstance(value, dict):
        return Entry(name, where, problem=f"is {type(value).__name__}, not an object")
    if "squire_task" in value:
        return Entry(name, where, facts=value)
    try:
        return Entry(name, where, old=OldTask.model_validate(value))
    except ValidationError as error:
        return Entry(name, where, problem=_reason(error))


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "the task"
    if first["type"] == "missing":
        return f"{name} is missing"
    if name == "status" and first["type"] == "literal_error":
        return f"status {str(first['input'])[:40]!r} is unknown"
    return f"{name} = {str(first['input'])[:60]!r}: {first['msg'].removeprefix('Value error, ')}"
