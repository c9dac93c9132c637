"""The mark of settings and keys: it changes with what may help, and shows nothing of a key."""

from pathlib import Path

import pytest

from squire_pipelines.execution.settings_mark import settings_mark
from squire_pipelines.secrets import Secret
from squire_pipelines.settings.model import Settings, load_settings

KEY = "sk-" + "k" * 20


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("SQUIRE_CONFIG", str(path))
    return path


def load(config: Path, model: str = "m", more: str = "") -> Settings:
    config.write_text(f'[providers.own]\nprotocol = "openai"\n[agent]\nprovider = "own"\nmodel = "{model}"\n{more}')
    return load_settings()


def mark(settings: Settings, key: str | None = KEY) -> str:
    return settings_mark(settings, "a/b", lambda name: Secret(key, name=name) if key is not None else None)


def test_it_is_the_same_for_the_same_and_differs_with_key_model_and_provider(config: Path) -> None:
    first = mark(load(config))
    assert mark(load(config)) == first
    assert mark(load(config, more="[logging]\nlevel = 'debug'\n")) == first, "this has nothing to do with models"
    others = {
        mark(load(config), None),
        mark(load(config), KEY + "x"),
        mark(load(config, "other")),
        mark(load(config, more="[providers.spare]\nprotocol = 'openai'\n")),
        mark(load(config, more="[gateway]\naliases = {fast = 'm'}\n")),
        # A next step where a cloud's credentials end before an attempt in a container may.
        mark(load(config, more="[gateway]\ntransport = 'socket'\n")),
    }
    assert len(others) == 6
    assert first not in others


def test_it_is_short_and_has_nothing_of_the_key(config: Path) -> None:
    made = mark(load(config))
    assert len(made) == 16
    assert set(made) <= set("0123456789abcdef")
