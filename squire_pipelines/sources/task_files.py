"""The source `manual`: task files in Markdown or YAML, which people keep beside the settings.

Three forms: a Markdown file that begins with a block of YAML is one task; any other Markdown file is a list, with a
task for each item at the margin; a YAML file has a list of tasks.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.identity import parse_repository
from squire_pipelines.errors import SourceError
from squire_pipelines.sources.front_matter import load_yaml, split_block
from squire_pipelines.sources.protocol import MAX_BODY, MAX_FACTS, Branch, SourceFact

SUFFIXES = (".md", ".yaml", ".yml")
MAX_FILES = 200
MAX_FILE_BYTES = 256 * 2**10
_ITEM = re.compile(r"[-*+] (?:\[(?P<box>[ xX])\] )?(?P<text>\S.*)")
_HEADING = re.compile(r"#{1,6} +(?P<text>.*\S)")
_DONE = frozenset({"done", "completed", "finished"})
_TITLE = 120


class TaskEntry(FrozenModel):
    """One task as a file has it. Without a repository it is for the only one of the settings."""

    title: str = Field(min_length=1, max_length=300)
    prompt: str = Field(default="", max_length=MAX_BODY)
    repository: Annotated[str, AfterValidator(parse_repository)] | None = None
    branch: Branch | None = None
    allow_protected: tuple[str, ...] = Field(default=(), max_length=50)
    key: str = Field(default="", max_length=100)


class _OneTask(TaskEntry):
    title: str = Field(default="", max_length=300)


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A file's name and its text."""

    name: str
    text: str


def task_files(folder: Path) -> list[Path]:
    """Return the task files of a folder; none when it is not there."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())


def read_folder(folder: Path) -> list[TaskFile]:
    """Read the task files of a folder. Raises SourceError for what cannot be read or is too much."""
    paths = task_files(folder)
    if len(paths) > MAX_FILES:
        raise SourceError(f"{folder} has more than {MAX_FILES} task files", hint="put several tasks into one file")
    files = []
    for path in paths:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                raise SourceError(f"{path} has more than {MAX_FILE_BYTES} bytes", hint="split it")
            files.append(TaskFile(path.name, data.decode("utf-8-sig").replace("\r\n", "\n")))
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SourceError(f"{path} is no text in UTF-8", hint="save it as UTF-8") from error
    return files


def facts_of(files: Sequence[TaskFile], repository: str, *, listed: Sequence[str]) -> tuple[SourceFact, ...]:
    """Return the tasks for one repository, of those that may be `listed` in the files.

    Where no other may be, a task need not say its repository. Raises SourceError for a file that has another form, and
    for a task that does not say its repository, or one that is not listed.
    """
    facts: dict[str, SourceFact] = {}
    names = {name.casefold() for name in listed}
    for file in files:
        for entry in entries_of(file):
            if entry.repository is not None and entry.repository.casefold() not in names:
                raise SourceError(
                    f"{file.name}: the task {entry.title!r} is for {entry.repository}, which is not listed here",
                    hint=f"these are: {', '.join(listed[:10])}",
                )
            if entry.repository is None and len(names) > 1:
                raise SourceError(
                    f"{file.name}: the task {entry.title!r} does not say its repository",
                    hint="add `repository: owner/name`, or a heading `## owner/name` above the list",
                )
            if entry.repository is None or entry.repository.casefold() == repository.casefold():
                fact = _fact(file, entry)
                facts[fact.key] = fact
    if len(facts) > MAX_FACTS:
        raise SourceError(f"there are more than {MAX_FACTS} tasks for {repository}")
    return tuple(facts.values())


def _fact(file: TaskFile, entry: TaskEntry) -> SourceFact:
    # By its own name or its words, not by its place: an item that moves is the same task.
    own = entry.key or hashlib.sha256(f"{entry.title}\n{entry.prompt}".encode()).hexdigest()[:12]
    return SourceFact(
        key=f"{re.sub(r'[^A-Za-z0-9._-]', '-', file.name)}/{re.sub(r'[^A-Za-z0-9._-]', '-', own)}",
        title=entry.title,
        body=entry.prompt,
        author=f"the task file {file.name}",
        branch=entry.branch,
        allow_protected=entry.allow_protected,
    )


def version_of(fact: SourceFact) -> str:
    """Return the fact's version: its own, or one that changes with what it says."""
    content = "\x00".join((fact.title, fact.body, fact.branch or "", *fact.allow_protected))
    return fact.version or hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def entries_of(file: TaskFile) -> list[TaskEntry]:
    """Return the tasks of a file. Raises SourceError for one that has another form."""
    try:
        if not file.name.endswith(".md"):
            return [TaskEntry.model_validate(value) for value in _list_of(load_yaml(file.text))]
        parts = split_block(file.text)
        if parts is None:
            return list(_items(file.text))
        return [_one_task(file.name, load_yaml(parts[0]), parts[1])]
    except (ValidationError, ValueError) as error:
        reason = error.errors()[0] if isinstance(error, ValidationError) else None
        where = ".".join(str(part) for part in reason["loc"]) if reason else ""
        text = f"{where}: {reason['msg']}" if reason else str(error)
        raise SourceError(f"{file.name}: {text}", hint="docs/reference/sources.md shows the forms") from error


def _list_of(value: Any) -> list[Any]:
    tasks = value.get("tasks") if isinstance(value, dict) and set(value) == {"tasks"} else value
    if tasks is None:
        return []
    if not isinstance(tasks, list):
        raise ValueError("a file of tasks is a list, or has one below `tasks`")  # noqa: TRY004 - the file is wrong, no type
    return tasks


def _one_task(name: str, head: Any, body: str) -> TaskEntry:
    if head is not None and not isinstance(head, dict):
        raise ValueError("the block at the top has keys and values")
    task = _OneTask.model_validate({"key": Path(name).stem, "prompt": body, **(head or {})})
    first_line = next((line.lstrip("# ").strip() for line in body.splitlines() if line.strip("# ")), "")
    return TaskEntry.model_validate(task.model_dump() | {"title": task.title or first_line[:_TITLE]})


def _items(text: str) -> Iterator[TaskEntry]:
    """Yield the tasks of a list; an item that is ticked off, or stands below the heading Done, is none."""
    repository: str | None = None
    is_done = False
    item: list[str] | None = None
    for line in [*text.splitlines(), "# end"]:
        if item is not None and (line.startswith((" ", "\t")) or not line.strip()):
            item.append(line.strip())
            continue
        if item is not None:
            yield _item(item, repository)
            item = None
        if heading := _HEADING.fullmatch(line):
            is_done = heading["text"].casefold() in _DONE
            if "/" in heading["text"]:
                repository = parse_repository(heading["text"])
        elif (match := _ITEM.fullmatch(line)) and not is_done and (match["box"] or " ") == " ":
            item = [match["text"]]


def _item(lines: list[str], repository: str | None) -> TaskEntry:
    text = "\n".join(lines).strip()
    title = lines[0] if len(lines[0]) <= _TITLE else lines[0][: _TITLE - 1] + "…"
    return TaskEntry(title=title, prompt="" if text == title else text, repository=repository)
