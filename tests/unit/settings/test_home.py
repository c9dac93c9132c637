"""Where Squire's files lie."""

from pathlib import Path

import pytest

from squire_pipelines.home import Home
from squire_pipelines.settings.model import Settings


def test_with_squire_home_everything_lies_under_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "mine"
    monkeypatch.setenv("SQUIRE_HOME", str(root))
    home = Home.from_environment()
    places = (home.config_file, home.mirrors, home.attempts, home.warehouse, home.dagster, home.run)
    assert all(path.is_relative_to(root) for path in places)
    assert len(set(places)) == len(places)
    assert not root.exists()
    settings = Settings()
    assert settings.home is settings.home
    assert settings.home.data == root


def test_squire_home_may_be_relative_or_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("SQUIRE_HOME", "here")
    assert Home.from_environment().data == tmp_path / "here"
    monkeypatch.setenv("SQUIRE_HOME", "~/there")
    assert Home.from_environment().data == tmp_path / "me" / "there"


@pytest.mark.parametrize("value", [None, ""])
def test_without_it_the_xdg_directories_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("SQUIRE_HOME")
    else:
        monkeypatch.setenv("SQUIRE_HOME", value)
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    home = Home.from_environment()
    assert home.config_file == tmp_path / "config" / "squire" / "config.toml"
    assert home.warehouse == tmp_path / "data" / "squire" / "warehouse.duckdb"
    assert home.mirrors == tmp_path / "cache" / "squire" / "mirrors"
    assert home.dagster == tmp_path / "state" / "squire" / "dagster"
    assert list(tmp_path.iterdir()) == []
