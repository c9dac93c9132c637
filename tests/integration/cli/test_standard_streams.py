"""Every list in a locale without UTF-8, and to a reader that has gone."""

import os
import sys

import pytest
from click.testing import CliRunner

from squire_pipelines.cli.main import cli
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.signals import Source
from tests.integration.cli.test_hostile_text import LISTS
from tests.support.cli import SampleData

TITLE = "Résumé → done … ✓ 日本"


@pytest.fixture
def _rows(samples: SampleData) -> None:
    samples.ended(Cause.AGENT_ERROR, TITLE, message=TITLE)
    samples.reading(title=TITLE)
    samples.reading(Source.OPEN_PRS, error=TITLE)


@pytest.mark.usefixtures("_rows")
def test_every_list_is_readable_without_utf_8() -> None:
    runner = CliRunner(charset="ascii")
    written = []
    for words in LISTS:
        result = runner.invoke(cli, list(words), prog_name="squire")
        assert not isinstance(result.exception, UnicodeError), words
        assert "Traceback" not in result.output
        written.append(result.stdout)
    assert any("R?sum? -> done ... + ??" in text for text in written)
    assert all(text.isascii() for text in written)


@pytest.mark.usefixtures("_rows")
def test_every_list_ends_as_other_programs_do_when_nobody_reads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = []
    for words in (*LISTS, ("--help",), ("tasks", "--help")):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            code = cli.main(list(words), prog_name="squire", standalone_mode=False)
        codes.append(code)
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        assert code == 141 or "error: " in errors, words  # what is wrong is said on standard error
    assert codes.count(141) > len(codes) / 2
