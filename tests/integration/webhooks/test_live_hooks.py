"""What a running receiver takes of a changed sender: its scheme, its secrets, and whether it is there."""

from pathlib import Path

import pytest

from squire_pipelines.domain.hook_schemes import HmacScheme, StandardScheme
from squire_pipelines.errors import ConfigError, SecretMissingError
from squire_pipelines.home import Home
from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.webhooks.live_hooks import LiveHooks
from tests.support.settings_files import write_settled

HEAD = 'repositories = ["acme/shop"]\n'
SENTRY = HEAD + "[hooks.sentry]\n"


class Following:
    """A settings' file, and the senders that follow it."""

    def __init__(self, folder: Path, text: str) -> None:
        folder.mkdir(mode=0o700)
        self._file = folder / "config.toml"
        write_settled(self._file, text)
        home = Home(config=folder, data=folder, cache=folder / "cache", state=folder)
        self.settings = SettingsInForce(self._file, home)
        self.live = LiveHooks(self.settings.state)

    def change(self, text: str) -> None:
        write_settled(self._file, text)
        self.look()

    def look(self) -> None:
        self.settings.ask()
        self.live.follow(self.settings.check())


@pytest.fixture(autouse=True)
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "key"
    file.write_text("one", encoding="utf-8")
    monkeypatch.setenv("SQUIRE_HOOK_SENTRY_KEY_FILE", str(file))
    return file


def test_a_sender_comes_changes_and_goes_without_a_restart(tmp_path: Path, key: Path) -> None:
    following = Following(tmp_path / "home", HEAD)
    assert following.live.hooks() == {}
    following.change(SENTRY)
    hook = following.live.hooks()["sentry"]
    assert isinstance(hook.scheme, HmacScheme)
    assert (hook.secrets, hook.max_body) == (("one",), 2**20)
    key.write_text("another", encoding="utf-8")
    following.look()
    assert following.live.hooks()["sentry"].secrets == ("another",)
    following.change(SENTRY + 'scheme = "standard"\n')
    assert following.live.hooks()["sentry"].scheme == StandardScheme()
    following.change(SENTRY + "enabled = false\n")
    assert following.live.hooks() == {}


def test_a_look_at_what_has_not_changed_reads_no_secret(tmp_path: Path) -> None:
    following = Following(tmp_path / "home", SENTRY)
    before = following.live.hooks()
    following.live.follow(following.settings.check())
    assert following.live.hooks() is before


def test_a_missing_secret_keeps_the_receiver_from_its_start_and_says_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SQUIRE_HOOK_SENTRY_KEY_FILE")
    with pytest.raises(SecretMissingError, match="the sender sentry needs the secret hook-sentry-key") as refused:
        Following(tmp_path / "home", SENTRY)
    assert "squire secrets set hook-sentry-key" in refused.value.hint


def test_a_secret_that_is_no_key_is_refused_at_the_start(tmp_path: Path, key: Path) -> None:
    key.write_text("whsec_%%%", encoding="utf-8")
    with pytest.raises(ConfigError, match="of the sender sentry cannot be a key") as refused:
        Following(tmp_path / "home", SENTRY + 'scheme = "standard"\n')
    assert "%%%" not in str(refused.value)


def test_settings_that_fit_no_scheme_are_refused_with_the_sender(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[hooks.sentry\]: tolerance_s is no option of the scheme hmac"):
        Following(tmp_path / "home", SENTRY + "tolerance_s = 3\n")


def test_while_it_runs_a_sender_that_cannot_be_read_stays_as_it_was_and_a_new_one_comes_again_later(
    tmp_path: Path, key: Path
) -> None:
    following = Following(tmp_path / "home", SENTRY)
    key.unlink()
    following.change(SENTRY + '[hooks.deploys]\nreader = "generic"\n')
    hooks = following.live.hooks()
    assert (hooks["sentry"].secrets, hooks["deploys"].secrets) == (("one",), ())
    assert "hook-deploys-key" in following.live.problem
    key.write_text("two", encoding="utf-8")
    following.change(SENTRY)
    assert (following.live.hooks()["sentry"].secrets, following.live.problem) == (("two",), "")
