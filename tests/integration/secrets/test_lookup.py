import os
import threading
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from squire_pipelines.errors import ConfigError, SecretMissingError
from squire_pipelines.home import Home
from squire_pipelines.secret_names import file_variable_of, variables_of
from squire_pipelines.secrets import SecretName, all_secrets, delete_secret, find_secret, require_secret, store_secret


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring in memory; may be locked, or never answer."""

    priority = 1

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}
        self.locked = False
        self.silent: threading.Event | None = None

    def _check(self) -> None:
        if self.silent:
            self.silent.wait(30)
        if self.locked:
            raise keyring.errors.KeyringLocked

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.values.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.values[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.values.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SecretName:
        for variable in (*variables_of(name), file_variable_of(name)):
            monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def memory() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    ring = MemoryKeyring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(config=tmp_path, data=tmp_path, cache=tmp_path, state=tmp_path)


def _write(path: Path, value: str | bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value.encode() if isinstance(value, str) else value)
    path.chmod(mode)
    return path


def test_the_environment_wins_over_file_and_keyring(
    home: Home, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.values["squire", "github-token"] = "from-keyring"
    secret = find_secret("github-token", home)
    assert secret is not None
    assert (secret.reveal(), secret.origin) == ("from-keyring", "keyring")
    file = _write(tmp := home.config / "secrets" / "github-token", "from-file\n")
    secret = find_secret(SecretName.GITHUB_TOKEN, home)
    assert secret is not None
    assert (secret.reveal(), secret.origin) == ("from-file", f"file {file}")
    for variable in ("GH_TOKEN", "GITHUB_TOKEN", "SQUIRE_GITHUB_TOKEN"):
        monkeypatch.setenv(variable, f"from-{variable}")
        secret = find_secret("github-token", home)
        assert secret is not None
        assert (secret.reveal(), secret.origin) == (f"from-{variable}", f"environment variable {variable}")
    assert tmp.exists()


def test_other_secrets_are_not_taken_from_githubs_variables(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "x" * 20)
    assert find_secret("webhook-secret", home) is None
    monkeypatch.setenv("SQUIRE_MODEL_KEY", " key-with-spaces \n")
    model_key = find_secret("model-key", home)
    assert model_key is not None
    assert model_key.reveal() == "key-with-spaces"
    assert {secret.name for secret in all_secrets(home, ())} == {"github-token", "model-key"}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(home: Home, mode: int) -> None:
    path = _write(home.config / "secrets" / "model-key", "value", mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        find_secret("model-key", home)


def test_a_mounted_file_may_be_readable_but_not_writable_for_all(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "mounted", "value\n", 0o444)
    monkeypatch.setenv("SQUIRE_MODEL_KEY_FILE", str(path))
    secret = find_secret("model-key", home)
    assert secret is not None
    assert secret.reveal() == "value"
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="chmod 600"):
        find_secret("model-key", home)


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_named_file_that_is_missing_or_empty_is_an_error(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "named"
    if content is not None:
        _write(path, content)
    monkeypatch.setenv("SQUIRE_MODEL_KEY_FILE", str(path))
    with pytest.raises(ConfigError, match="does not exist or is empty"):
        find_secret("model-key", home)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 70_000])
def test_a_file_that_cannot_be_a_secret_is_an_error(home: Home, content: bytes) -> None:
    _write(home.config / "secrets" / "model-key", content)
    with pytest.raises(ConfigError, match="is it the right file"):
        find_secret("model-key", home)


def test_a_folder_in_the_files_place_is_an_error(home: Home) -> None:
    (home.config / "secrets" / "model-key").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be read"):
        find_secret("model-key", home)


def test_a_missing_secret_names_the_three_places(home: Home) -> None:
    assert find_secret("github-token", home) is None
    with pytest.raises(SecretMissingError) as caught:
        require_secret("github-token", home)
    text = str(caught.value)
    for place in ("SQUIRE_GITHUB_TOKEN", "GH_TOKEN", "SQUIRE_GITHUB_TOKEN_FILE", "secrets/github-token", "keyring"):
        assert place in text


def test_a_locked_keyring_is_told(home: Home, memory: MemoryKeyring) -> None:
    memory.locked = True
    with pytest.raises(SecretMissingError, match="the keyring refused: KeyringLocked"):
        require_secret("model-key", home)


def test_a_keyring_that_never_answers_is_given_up(home: Home, memory: MemoryKeyring) -> None:
    memory.silent = threading.Event()
    with pytest.raises(SecretMissingError, match="did not answer within"):
        require_secret("model-key", home, keyring_timeout_s=0.05)
    with pytest.raises(ConfigError, match="set SQUIRE_MODEL_KEY, or write the file"):
        store_secret("model-key", "value", home, keyring_timeout_s=0.05)
    memory.silent.set()


def test_a_machine_without_a_keyring_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring.backends.fail  # noqa: PLC0415 - only here

    keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call] # the library's own
    with pytest.raises(SecretMissingError, match="no keyring") as missing:
        require_secret("model-key", home)
    assert "squire secrets set" not in missing.value.hint
    with pytest.raises(ConfigError) as refused:
        store_secret("model-key", "value", home)
    assert refused.value.message == "model-key is not kept: this machine has no keyring"
    assert refused.value.hint == f"set SQUIRE_MODEL_KEY, or write the file {home.secrets / 'model-key'} (mode 0600)"
    delete_secret("model-key")
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "value")
    assert require_secret("model-key", home).reveal() == "value"


def test_a_stored_secret_is_in_the_keyring_and_on_no_disk(home: Home, memory: MemoryKeyring, tmp_path: Path) -> None:
    assert store_secret("webhook-secret", " value-of-it \n", home) == "keyring, service squire"
    assert memory.values == {("squire", "webhook-secret"): "value-of-it"}
    assert require_secret("webhook-secret", home).reveal() == "value-of-it"
    assert list(tmp_path.iterdir()) == []
    delete_secret("webhook-secret")
    delete_secret("webhook-secret")
    assert find_secret("webhook-secret", home) is None


def test_an_empty_value_is_not_stored(home: Home) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        store_secret("webhook-secret", " \n", home)


def test_an_unknown_name_is_an_error(home: Home) -> None:
    with pytest.raises(ValueError, match="the name of a secret"):
        find_secret("no-such", home)


def test_other_faults_of_a_keyring_are_not_hidden(
    home: Home, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "values", None)
    with pytest.raises(AttributeError):
        find_secret("model-key", home)
    assert os.environ.get("SQUIRE_MODEL_KEY") is None
