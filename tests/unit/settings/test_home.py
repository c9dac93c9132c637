"""Where Squire's files lie."""

import pwd
from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.home import Home, user_home
from squire_pipelines.migration.leftovers import find_leftovers
from squire_pipelines.settings.file import SettingsFile
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


def test_a_user_without_a_home_is_told_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_number: int) -> None:
        raise KeyError("no such user")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "SQUIRE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="the system knows no home of this user") as refusal:
        Home.from_environment()
    assert "SQUIRE_HOME" in refusal.value.hint
    assert user_home() is None
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    home = Home.from_environment()
    (tmp_path / ".env").write_text("GITHUB_TOKEN=a-token-of-mine\n")
    (leftover,) = find_leftovers(home, tmp_path, SettingsFile(tmp_path / "config.toml", exists=False))
    assert ".env has secrets" in leftover.message
