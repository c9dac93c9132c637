"""Which files a repository's own may extend, and how many."""

import asyncio
from collections.abc import Mapping

import pytest

from squire_pipelines.domain.presets import PresetPlace
from squire_pipelines.errors import SettingError
from squire_pipelines.github.repository_file import FileOnBranch
from squire_pipelines.repository_files.parsing import REPOSITORY_FILE
from squire_pipelines.repository_files.presets import MAX_DEPTH, MAX_FILES, PresetReader


def refusal(files: Mapping[str, str]) -> tuple[str, int]:
    """Return why the files of one repository are refused, and how many of them were read first."""
    reads = 0

    def content_of(place: PresetPlace) -> FileOnBranch:
        text = files[place.path]
        return FileOnBranch(place, "head", "blob", len(text), text)

    async def read(place: PresetPlace) -> FileOnBranch:
        nonlocal reads
        reads += 1
        return content_of(place)

    reader = PresetReader(read, permits=lambda _: False)
    with pytest.raises(SettingError) as caught:
        asyncio.run(reader.load(content_of(PresetPlace("acme/shop", REPOSITORY_FILE))))
    return caught.value.message, reads


def extends(*names: str) -> str:
    return "extends = [" + ", ".join(f'"{name}"' for name in names) + "]\n"


def test_files_that_extend_each_other_in_a_circle_are_refused() -> None:
    message, reads = refusal(
        {REPOSITORY_FILE: extends("a.toml"), "a.toml": extends("b.toml"), "b.toml": extends("a.toml")}
    )
    assert "in a circle" in message
    assert reads == 2


def test_a_file_that_extends_itself_is_refused() -> None:
    assert "in a circle" in refusal({REPOSITORY_FILE: extends(REPOSITORY_FILE)})[0]


def test_a_chain_that_is_too_long_is_refused() -> None:
    chain = {f"{number}.toml": extends(f"{number + 1}.toml") for number in range(MAX_DEPTH + 2)}
    message, reads = refusal({REPOSITORY_FILE: extends("0.toml"), **chain})
    assert f"more than {MAX_DEPTH} times" in message
    assert reads == MAX_DEPTH


def test_more_files_than_may_be_read_are_refused() -> None:
    names = [f"{number}.toml" for number in range(MAX_FILES)]
    files = {REPOSITORY_FILE: extends(*names), **dict.fromkeys(names, "")}
    files["0.toml"] = extends("one-more.toml")
    files["one-more.toml"] = ""
    message, reads = refusal(files)
    assert f"more than {MAX_FILES} files" in message
    assert reads == MAX_FILES


def test_another_repositorys_file_is_not_read_without_permission() -> None:
    message, reads = refusal({REPOSITORY_FILE: extends("other/private//a.toml")})
    assert "files of other/private may not be extended" in message
    assert reads == 0
