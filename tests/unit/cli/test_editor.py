"""A text from the person's editor: it is taken whole, or kept where the person finds it."""

import shlex
from pathlib import Path

import pytest

from squire_pipelines.cli.editor import write_text
from squire_pipelines.errors import SettingError


def editor_that_writes(content: bytes, folder: Path) -> str:
    (folder / "text").write_bytes(content)
    return f"sh -c 'cat {shlex.quote(str(folder / 'text'))} > \"$0\"'"


def test_a_text_is_taken_without_the_explanation_and_its_draft_is_removed(tmp_path: Path) -> None:
    explained = "Fix é.\n\n--- What stands below this line is left out. ---\nSay it.\n".encode()
    editor = editor_that_writes(explained, tmp_path)
    assert write_text(editor, tmp_path / "run", "", explanation="Say it.", most=20) == "Fix é."
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"Fix \xff.", "no text in UTF-8"),
        (b"word " * 5, "more than 20 characters"),
        ("é".encode() * 2**20, "more than 20 characters"),
    ],
)
def test_a_text_that_cannot_be_taken_is_kept(tmp_path: Path, content: bytes, problem: str) -> None:
    editor = editor_that_writes(content, tmp_path)
    with pytest.raises(SettingError, match=problem) as caught:
        write_text(editor, tmp_path / "run", "", explanation="Say it.", most=20)
    (draft,) = (tmp_path / "run").glob("*/request.md")
    assert draft.read_bytes() == content
    assert str(draft) in (caught.value.hint or "")
