"""Reads a repository's own file with the files that it extends, within bounds, and puts them together.

How a file is read is the caller's: from GitHub, or in a test from memory.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from squire_pipelines.domain.presets import PresetPlace, place_of
from squire_pipelines.errors import GitHubNotFoundError, SettingError
from squire_pipelines.repository_files.keys import RepositoryFileSettings
from squire_pipelines.repository_files.parsing import (
    REPOSITORY_FILE,
    RepositoryFile,
    check_size,
    parse_repository_file,
)
from squire_pipelines.repository_files.tightening import combined

MAX_DEPTH = 3
MAX_FILES = 10


class FileContent(Protocol):
    """What reading a file gives; see `github.repository_file.FileOnBranch`."""

    @property
    def place(self) -> PresetPlace:
        """Where it lies."""

    @property
    def blob_sha(self) -> str | None:
        """None where there is no such file."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def text(self) -> str | None:
        """None where it is no text."""


ReadFile = Callable[[PresetPlace], Awaitable[FileContent]]


@dataclass(slots=True)
class PresetReader:
    """Reads what a repository's own file extends.

    Args:
        read: Reads one file of a default branch. Raises GitHubError.
        permits: Whether the operator permits the files of another repository.
        origins: The place that says each key, by the key's name, after `load`.
    """

    read: ReadFile
    permits: Callable[[str], bool]
    origins: dict[str, str] = field(default_factory=dict)
    _contents: dict[tuple[str, str], FileContent] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[FileContent, ...]:
        """The files that were read beside the repository's own."""
        return tuple(self._contents.values())

    async def load(self, own: FileContent) -> RepositoryFileSettings:
        """Return what a repository's own file says, with all that it extends.

        Raises:
            SettingError: Something in one of the files is wrong, or they go beyond the bounds.
            GitHubError: One of them could not be read.
        """
        parsed = parse_content(REPOSITORY_FILE, own)
        return await self._with_presets(parsed, own.place, (own.place,))

    async def _with_presets(
        self, file: RepositoryFile, place: PresetPlace, way: tuple[PresetPlace, ...]
    ) -> RepositoryFileSettings:
        base = RepositoryFileSettings()
        for name in file.settings.extends:
            preset = place_of(name, place.repository)
            self._check(file, name, preset, way)
            content = await self._read(file, name, preset)
            parsed = parse_content(str(preset), content)
            settings = await self._with_presets(parsed, preset, (*way, preset))
            base = RepositoryFileSettings.model_validate(combined(base, settings))
        for key in _leaves(file.values):
            self.origins[key] = str(place)
        return RepositoryFileSettings.model_validate(combined(base, file.settings))

    def _check(self, file: RepositoryFile, name: str, preset: PresetPlace, way: tuple[PresetPlace, ...]) -> None:
        shown = " -> ".join(map(str, (*way, preset)))
        if preset.key in {place.key for place in way}:
            raise _refusal(file, name, f"the files extend each other in a circle: {shown}", "take one of them out")
        if len(way) > MAX_DEPTH:
            raise _refusal(file, name, f"files extend each other more than {MAX_DEPTH} times: {shown}", "join them")
        if preset.key not in self._contents and len(self._contents) >= MAX_FILES:
            raise _refusal(file, name, f"more than {MAX_FILES} files are extended", "join some of them")
        if preset.repository.casefold() != way[0].repository.casefold() and not self.permits(preset.repository):
            hint = "ask the operator to name it in trust.presets, or take it out"
            raise _refusal(file, name, f"files of {preset.repository} may not be extended", hint)

    async def _read(self, file: RepositoryFile, name: str, preset: PresetPlace) -> FileContent:
        content = self._contents.get(preset.key)
        if content is None:
            try:
                content = await self.read(preset)
            except GitHubNotFoundError as error:
                raise _refusal(file, name, error.message, "correct the name, or take it out") from error
            self._contents[preset.key] = content
        if content.blob_sha is None:
            raise _refusal(file, name, f"there is no file {preset} on the default branch", "correct the name")
        return content


def parse_content(name: str, content: FileContent) -> RepositoryFile:
    """Return what a file says that was read. Raises SettingError."""
    check_size(name, content.size)
    if content.text is None:
        raise SettingError(f"{name} is no text in UTF-8", hint="save the file as UTF-8")
    return parse_repository_file(name, content.text.removeprefix("\ufeff").replace("\r\n", "\n"))


def _refusal(file: RepositoryFile, name: str, problem: str, hint: str) -> SettingError:
    line = file.file.line_of(("extends",), name)
    where = str(file.file.path) if line is None else f"{file.file.path}, line {line}"
    context: dict[str, object] = {"key": "extends"} | ({} if line is None else {"line": line})
    return SettingError(f"{where}: extends: {problem}", hint=hint, context=context)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, value in values.items():
        names += _leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [f"{prefix}{name}"]
    return names
