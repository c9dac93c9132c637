"""The file that says what is debugged, as processes see it, and the lines that are written then."""

import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from squire_pipelines.domain.debugging import DebugWindow
from squire_pipelines.home import Home
from squire_pipelines.observability.debugging import (
    COMMAND_VARIABLE,
    DebugFile,
    debug_this_command,
    is_debugged,
    read_windows,
    window_of_command,
    write_windows,
)
from squire_pipelines.observability.logging import Component, bound_context, get_logger, set_debugged, set_level
from tests.support.logs import lines

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOP = DebugWindow("acme/shop", NOON, NOON + timedelta(hours=1), "ada")


@pytest.fixture
def debugged() -> Iterator[None]:
    """A process that is debugged for one repository, and whose level is above debug."""
    set_level("info")
    set_debugged(lambda repository: repository == "acme/shop")
    yield
    set_debugged(None)


@pytest.mark.usefixtures("debugged")
def test_lines_of_a_debugged_repository_are_written_whatever_the_level(stream: io.StringIO) -> None:
    log = get_logger(Component.GITHUB)
    log.debug("of none")
    with bound_context(repository="acme/shop", trace_id="t"):
        log.debug("of the context", a=1)
    with bound_context(repository="acme/other"):
        log.debug("of another")
        log.debug("of its own", repository="acme/shop")
    first, second = lines(stream)
    assert (first["event"], first["level"], first["component"], first["a"]) == ("of the context", "debug", "github", 1)
    assert (first["trace_id"], second["event"]) == ("t", "of its own")


def test_what_is_written_is_read_and_what_cannot_be_read_debugs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "settings" / "debug.json"
    assert read_windows(path) == ()
    write_windows(path, (SHOP,))
    assert read_windows(path) == (SHOP,)
    for text in ("", "{}", "[1]", '[{"repository": "a/b", "since": "x", "until": "y", "actor": ""}]', "null"):
        path.write_text(text)
        assert read_windows(path) == ()


def test_a_process_follows_the_file_within_a_second_and_no_longer_than_its_end(tmp_path: Path) -> None:
    clock, now = [0.0], [NOON]
    path = tmp_path / "debug.json"
    file = DebugFile(path, monotonic=lambda: clock[0], now=lambda: now[0])
    assert file.until("acme/shop") is None
    write_windows(path, (SHOP,))
    assert file.until("acme/shop") is None  # it has just looked
    clock[0] += 1
    assert file.until("acme/shop") == SHOP.until
    now[0] = SHOP.until
    assert file.until("acme/shop") is None
    now[0] = NOON
    path.unlink()
    clock[0] += 1
    assert file.until("acme/shop") is None


def test_a_process_looks_into_its_own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "debugged"))
    now = datetime.now(UTC)
    write_windows(Home.from_environment().debug_file, (DebugWindow("", now, now + timedelta(hours=1)),))
    assert is_debugged("acme/shop")
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "none"))
    assert not is_debugged("acme/shop")
    monkeypatch.setenv("SQUIRE_HOME", "~nobody-of-this-name/home")
    assert not is_debugged("acme/shop")
    assert os.environ["SQUIRE_HOME"].startswith("~")


def test_what_a_command_with_debug_starts_is_debugged_for_a_day_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMMAND_VARIABLE, "")
    now = [NOON]
    file = DebugFile(tmp_path / "debug.json", now=lambda: now[0])
    assert file.until("acme/shop") is None
    debug_this_command(NOON)
    assert file.until("acme/shop") == NOON + timedelta(days=1)
    now[0] += timedelta(days=1)
    assert file.until("acme/shop") is None
    for text in ("yesterday", "9999-12-31T23:59:59-23:59"):
        monkeypatch.setenv(COMMAND_VARIABLE, text)
        assert window_of_command() == () or file.until("acme/shop") is None
