"""The text that a planner reads of repositories: bounded in bytes, and all that others wrote quoted as data. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.repository_facts import (
    CodeFacts,
    InstructionFile,
    PastTask,
    RepositoryContext,
    WorkHistory,
)
from squire_pipelines.domain.terminal_text import one_line, plain
from squire_pipelines.planning.quoting import quote, without_marks

MAX_CONTEXT_BYTES = 24 * 2**10
"""Of the whole text, its marks and headings included."""

_WRITERS = "may write to this repository"
_NOT_KNOWN = "not known"
_MORE = "… {} more"
_LINE_CHARS = 400
_FOLDERS_SHARE = 0.22
_UNDONE = frozenset({"failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class _Section:
    """A heading of ours, and lines of others below it; `share` is its part of all bytes, where there are that many."""

    heading: str
    lines: Sequence[str]
    share: float
    by: str = ""
    may: str = _WRITERS


def describe_context(context: RepositoryContext, *, max_bytes: int = MAX_CONTEXT_BYTES) -> str:
    """Return what is known of a repository, in at most `max_bytes` bytes of UTF-8.

    Each section has a share. Instruction files have what the others leave, and folders what these leave. What does
    not fit is counted.
    """
    text = _BoundedText(max_bytes)
    if context.code is None:
        reason = one_line(context.why_no_code, limit=_LINE_CHARS) or "it was not read"
        text.add(f"Its code is not known: {without_marks(reason)}", 0)
    else:
        for section in _sections_of_code(context.code):
            text.add_section(section)
    for section in _sections_of_history(context.history):
        text.add_section(section)
    if context.code is not None:
        text.add_instructions(context.code.instructions, leave=int(_FOLDERS_SHARE * max_bytes))
        heading = "Its folders with their files, those near the root first:"
        text.add_section(_Section(heading, context.code.folders, 1))
    return text.whole


def describe_contexts(contexts: Sequence[RepositoryContext], *, max_bytes: int) -> dict[str, str]:
    """Return what is known of each repository, by its name, in at most `max_bytes` bytes of UTF-8 together.

    Each has an equal share, and what those leave of which less is known is shared by the others.
    """
    whole = {context.repository: describe_context(context, max_bytes=max_bytes) for context in contexts}
    texts: dict[str, str] = {}
    left = max_bytes
    for number, context in enumerate(sorted(contexts, key=lambda context: _size(whole[context.repository]))):
        share = left // (len(contexts) - number)
        text = whole[context.repository]
        text = text if _size(text) <= share else describe_context(context, max_bytes=share)
        texts[context.repository] = text
        left -= _size(text)
    return {context.repository: texts[context.repository] for context in contexts}


def _sections_of_code(code: CodeFacts) -> Iterable[_Section]:
    yield _Section("The code at its head:", tuple(_facts(code)), 0.12)
    hot = code.hot_files or ()
    heading = "Files that changed most often in the 90 days before that commit, with the number of commits:"
    yield _Section(heading, [f"{file.commits} {file.path}" for file in hot], 0.06)


def _facts(code: CodeFacts) -> Iterable[str]:
    listed = "" if code.complete else ", of which only the first were listed"
    yield f"branch {code.branch}, commit {code.sha}, {code.files:,} files{listed}"
    if code.languages:
        yield "languages: " + ", ".join(f"{language.name} {language.share:.0%}" for language in code.languages)
    if code.package_managers:
        yield "package managers: " + ", ".join(code.package_managers)
    for command in code.commands:
        yield f"{command.purpose}: {command.command} (in {command.source})"


def _sections_of_history(history: WorkHistory) -> Iterable[_Section]:
    tasks = [_task_line(task) for task in history.tasks]
    yield _Section("Tasks of this repository, under way or ended lately:", tasks, 0.15, may=_NOT_KNOWN)
    lessons = [f"{lesson.count} of {lesson.cause}: {lesson.message} (in {lesson.task!r})" for lesson in history.lessons]
    yield _Section("Why attempts failed, so that a task can be made differently:", lessons, 0.12, may=_NOT_KNOWN)
    remarks = [
        f"on {', '.join(f'#{number}' for number in remark.pull_requests[:5])}: {remark.text} (by {remark.author})"
        for remark in history.remarks
    ]
    yield _Section("What reviewers asked for on several pull requests:", remarks, 0.1, may="may give orders here")


def _task_line(task: PastTask) -> str:
    parts = [f"{task.status}: {task.title} ({task.kind})"]
    parts += [f"ended {task.ended_at:%Y-%m-%d}"] if task.ended_at is not None else []
    parts += [f"cause {task.cause}"] if task.cause else []
    parts += [f"#{task.pull_request} {task.outcome}"] if task.outcome else []
    parts += [f"checks {task.checks}"] if task.checks else []
    parts += [task.message] if task.message and task.status in _UNDONE else []
    return ", ".join(parts)


class _BoundedText:
    """A text that grows and never beyond its bound."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[str] = []
        self._used = 0

    @property
    def whole(self) -> str:
        """All of it."""
        return "\n\n".join(self._parts)

    @property
    def _left(self) -> int:
        return self._max_bytes - self._used - len("\n\n")

    def add(self, part: str, budget: int) -> None:
        """Add a part where it fits into what is left, and into `budget` bytes unless that is 0."""
        size = _size(part)
        if size <= min(self._left, budget or self._left):
            self._parts.append(part)
            self._used += size + len("\n\n")

    def add_section(self, section: _Section) -> None:
        """Add as many lines of a section as its share has room for."""
        budget = min(self._left, int(section.share * self._max_bytes))

        def as_part(text: str) -> str:
            return f"{section.heading}\n{_quote(text, by=section.by, may=section.may)}"

        lines = [_clean_line(line) for line in section.lines]
        if text := _fitting(lines, budget - _size(as_part(""))):
            self.add(as_part(text), budget)

    def add_instructions(self, files: Sequence[InstructionFile], *, leave: int) -> None:
        """Add the beginnings of instruction files and `leave` so many bytes; what one leaves is the next one's."""
        cleaned = [without_marks(plain(file.text)).strip() for file in files]
        empty = [_instruction_part(file, "") for file in files]
        needs = [_size(part) + _size(text) + len("\n\n") for part, text in zip(empty, cleaned, strict=True)]
        fair = max(self._left - leave, 0) // max(len(files), 1)
        for number, file in enumerate(files):
            later = sum(min(need, fair) for need in needs[number + 1 :])
            budget = max(self._left - leave - later, 0)
            if text := _cut(cleaned[number], budget - _size(empty[number])):
                self.add(_instruction_part(file, text), budget)


def _instruction_part(file: InstructionFile, text: str) -> str:
    return f"{_clean_line(file.path)}{', its beginning' if file.cut else ''}:\n{_quote(text, may=_WRITERS)}"


def _clean_line(line: str) -> str:
    return without_marks(one_line(line, limit=_LINE_CHARS))


def _quote(text: str, *, may: str, by: str = "") -> str:
    return quote(text, limit=len(text), by=by, may=may)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _fitting(lines: Sequence[str], budget: int) -> str:
    """Return the first lines that fit into so many bytes, and how many do not; empty where not even one does."""
    whole = "\n".join(lines)
    if _size(whole) <= budget:
        return whole
    room = budget - _size("\n" + _MORE.format(len(lines)))
    kept: list[str] = []
    for line in lines:
        room -= _size(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([*kept, _MORE.format(len(lines) - len(kept))]) if kept else ""


def _cut(text: str, budget: int) -> str:
    """Return the beginning of a text in so many bytes, with a mark where something is missing."""
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) <= budget:
        return text
    note = "\n… (cut)"
    room = budget - _size(note)
    return encoded[:room].decode("utf-8", "ignore") + note if room > 0 else ""
