"""What the scripts that generate a file share."""

import sys
from pathlib import Path

import pytest

from scripts.reference_page import write_or_check


def test_a_generated_file_is_compared_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "reference" / "cli.md"
    codes = []
    for options in (["--check"], [], ["--check"]):
        monkeypatch.setattr(sys, "argv", ["scripts/cli_reference.py", *options])
        codes.append(write_or_check(page, "text", description="Writes a page."))
    assert codes == [1, 0, 0]
    assert page.read_text(encoding="utf-8") == "text"
    assert capsys.readouterr().err == f"{page} is not up to date: run scripts/cli_reference.py\n"
