import os
import resource
import threading
import traceback
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.errors
import pytest

from squire_pipelines.errors import ConfigError, PassphraseError, SecretMissingError, SecretStoreError
from squire_pipelines.home import Home
from squire_pipelines.secret_names import file_variable_of, variables_of
from squire_pipelines.secrets import (
    SecretName,
    SecretSources,
    all_secrets,
    delete_secret,
    find_secret,
    require_secret,
    store_secret,
)
from squire_pipelines.secrets import sources as sources_module
from squire_pipelines.secrets.keychain import find_keychain, is_plaintext
from squire_pipelines.secrets.lookup import check_storable, import_plain_file, key_step, locate_secret
from squire_pipelines.secrets.passphrase import passphrase_file
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.secret_files import read_secret_file
from tests.support.secret_store_faults import cheap_store, passphrase


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
        self._check()
        if self.values.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError


KIND = f"{MemoryKeyring.__module__}.{MemoryKeyring.__qualname__}"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SecretName:
        for variable in (*variables_of(name), file_variable_of(name)):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


@pytest.fixture(autouse=True)
def memory() -> MemoryKeyring:
    ring = MemoryKeyring()
    keyring.set_keyring(ring)
    return ring


@pytest.fixture
def no_keychain(memory: MemoryKeyring) -> None:
    assert memory
    keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call] # the library's own


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(config=tmp_path, data=tmp_path, cache=tmp_path, state=tmp_path)


@pytest.fixture
def sources(home: Home) -> SecretSources:
    return SecretSources(home)


@pytest.fixture
def opened(sources: SecretSources, monkeypatch: pytest.MonkeyPatch) -> SecretSources:
    """The same with an encrypted file whose passphrase a file gives."""
    cheap_store(sources.home.secret_store).create(passphrase())
    file = _write(sources.home.config / "passphrase", passphrase().reveal())
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE_FILE", str(file))
    return sources


def _write(path: Path, value: str | bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value.encode() if isinstance(value, str) else value)
    path.chmod(mode)
    return path


def reveal_and_origin(name: str, sources: SecretSources) -> tuple[str, str]:
    secret = find_secret(name, sources)
    assert secret is not None
    return secret.reveal(), secret.origin


def test_each_place_wins_over_the_next(
    opened: SecretSources, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "github-token"
    program = _write(tmp_path / "program", '#!/bin/sh\necho "from-program of $1"\n', 0o700)
    with_all = SecretSources(opened.home, allow_plain_files=True, command=(str(program), "{name}"))
    assert reveal_and_origin(name, with_all) == ("from-program of github-token", f"program {program} (secrets.command)")
    memory.values["squire", name] = "from-keychain"
    assert reveal_and_origin(name, with_all) == ("from-keychain", "keychain")
    opened.store.change(lambda values: values.update({name: "from-store"}))
    assert reveal_and_origin(name, with_all) == ("from-store", "encrypted file")
    plain = _write(opened.plain_file(name), "from-plain-file\n")
    assert reveal_and_origin(name, with_all) == ("from-plain-file", f"file {plain}")
    mounted = _write(tmp_path / "credentials" / name, "from-mount\n", 0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(mounted.parent))
    assert reveal_and_origin(name, with_all) == ("from-mount", f"file {mounted}")
    file = _write(tmp_path / "named", "from-file\n", 0o444)
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN_FILE", str(file))
    assert reveal_and_origin(name, with_all) == ("from-file", f"file {file}")
    for variable in ("GH_TOKEN", "GITHUB_TOKEN", "SQUIRE_GITHUB_TOKEN"):
        monkeypatch.setenv(variable, f"from-{variable}")
        assert reveal_and_origin(name, with_all) == (f"from-{variable}", f"environment variable {variable}")
        assert locate_secret(name, with_all) == (f"environment variable {variable}", "")


def test_other_secrets_are_not_taken_from_githubs_variables(
    sources: SecretSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "x" * 20)
    assert find_secret("webhook-secret", sources) is None
    monkeypatch.setenv("SQUIRE_MODEL_KEY", " key-with-spaces \n")
    assert reveal_and_origin("model-key", sources)[0] == "key-with-spaces"
    assert {secret.name for secret in all_secrets(sources, ())} == {"github-token", "model-key"}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(home: Home, mode: int) -> None:
    path = _write(home.config / "secrets" / "model-key", "value", mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        find_secret("model-key", SecretSources(home, allow_plain_files=True))


def test_a_mounted_file_may_be_readable_but_not_writable_for_all(
    sources: SecretSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "mounted", "value\n", 0o444)
    monkeypatch.setenv("SQUIRE_MODEL_KEY_FILE", str(path))
    assert reveal_and_origin("model-key", sources)[0] == "value"
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="chmod 600"):
        find_secret("model-key", sources)


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_named_file_that_is_missing_or_empty_is_an_error(
    sources: SecretSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "named"
    if content is not None:
        _write(path, content)
    monkeypatch.setenv("SQUIRE_MODEL_KEY_FILE", str(path))
    with pytest.raises(ConfigError, match="does not exist or is empty"):
        find_secret("model-key", sources)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\xff\xfe", "is it the right one"), (b"x" * 70_000, "right one"), (None, "cannot be read")],
)
def test_a_file_that_cannot_be_a_secret_is_an_error(home: Home, content: bytes | None, says: str) -> None:
    path = home.config / "secrets" / "model-key"
    _write(path, content) if content is not None else path.mkdir(parents=True)
    with pytest.raises(ConfigError, match=says):
        find_secret("model-key", SecretSources(home, allow_plain_files=True))


def test_a_plain_file_is_not_read_and_named_with_the_step_that_keeps_it(opened: SecretSources) -> None:
    path = _write(opened.plain_file("model-key"), "plain-value\n")
    with pytest.raises(ConfigError, match=f"the plain file {path} is there and is not read") as error:
        find_secret("model-key", opened)
    assert "`squire secrets import model-key`" in error.value.hint
    assert "squire secrets import" in locate_secret("model-key", opened)[1]
    assert all_secrets(opened, ()) == ()
    assert import_plain_file("model-key", opened) == f"keychain ({KIND}, service squire)"
    assert not path.exists()
    assert reveal_and_origin("model-key", opened) == ("plain-value", "keychain")


@pytest.mark.usefixtures("no_keychain")
def test_a_plain_file_stays_where_its_secret_cannot_be_kept(sources: SecretSources) -> None:
    path = _write(sources.plain_file("model-key"), "plain-value\n")
    with pytest.raises(SecretStoreError, match="there is no secret store"):
        import_plain_file("model-key", sources)
    assert path.read_text() == "plain-value\n"


def test_a_missing_secret_names_the_step_that_sets_it(sources: SecretSources) -> None:
    assert find_secret("github-token", sources) is None
    with pytest.raises(SecretMissingError) as caught:
        require_secret("github-token", sources)
    for place in ("`squire secrets set github-token`", "SQUIRE_GITHUB_TOKEN", "GH_TOKEN"):
        assert place in caught.value.hint


def test_a_locked_keychain_is_told_and_the_encrypted_file_can_be_used_instead(
    opened: SecretSources, memory: MemoryKeyring
) -> None:
    memory.locked = True
    with pytest.raises(SecretMissingError, match=r"the keychain .* refuses: KeyringLocked"):
        require_secret("model-key", opened)
    with pytest.raises(ConfigError, match="squire secrets set model-key --file"):
        store_secret("model-key", "value", opened)
    with pytest.raises(ConfigError, match="unlock the keychain"):
        delete_secret("model-key", opened)
    store_secret("model-key", "value", opened, in_file=True)
    assert reveal_and_origin("model-key", opened) == ("value", "encrypted file")


def test_a_keychain_that_never_answers_is_given_up(home: Home, memory: MemoryKeyring) -> None:
    memory.silent = threading.Event()
    hasty = SecretSources(home, keychain_timeout_s=0.05)
    with pytest.raises(SecretMissingError, match="did not answer within"):
        require_secret("model-key", hasty)
    with pytest.raises(ConfigError, match="it may wait for a person"):
        store_secret("model-key", "value", hasty)
    memory.silent.set()


@pytest.mark.usefixtures("no_keychain")
def test_without_a_keychain_the_encrypted_file_keeps_secrets(opened: SecretSources) -> None:
    assert store_secret("model-key", " value \n", opened) == f"encrypted file {opened.home.secret_store}"
    assert reveal_and_origin("model-key", opened) == ("value", "encrypted file")
    assert locate_secret("model-key", opened) == ("encrypted file", "")
    assert key_step(find_secret("model-key", opened)) is None
    assert delete_secret("model-key", opened) == ("encrypted file",)
    assert delete_secret("model-key", opened) == ()
    assert find_secret("model-key", opened) is None


@pytest.mark.usefixtures("no_keychain")
def test_a_locked_store_stops_who_needs_a_secret_of_it_and_no_one_else(
    opened: SecretSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_secret("model-key", "value", opened)
    monkeypatch.delenv("SQUIRE_SECRETS_PASSPHRASE_FILE")
    from squire_pipelines.secrets import store as store_module  # noqa: PLC0415 - to forget what this process opened

    store_module._opened.clear()
    with pytest.raises(PassphraseError, match="is locked"):
        find_secret("model-key", opened)
    assert find_secret("github-token", opened) is None
    assert locate_secret("model-key", opened) == ("encrypted file", "")
    assert all_secrets(opened, ()) == ()


def test_a_stored_secret_is_in_the_keychain_and_on_no_disk(
    sources: SecretSources, memory: MemoryKeyring, tmp_path: Path
) -> None:
    assert store_secret("webhook-secret", " value-of-it \n", sources).startswith("keychain")
    assert memory.values == {("squire", "webhook-secret"): "value-of-it"}
    assert require_secret("webhook-secret", sources).reveal() == "value-of-it"
    assert list(tmp_path.iterdir()) == []
    assert delete_secret("webhook-secret", sources) == ("keychain",)
    assert delete_secret("webhook-secret", sources) == ()


def test_what_is_put_into_the_file_stays_there_and_wins_over_the_keychain(
    opened: SecretSources, memory: MemoryKeyring
) -> None:
    store_secret("model-key", "old", opened)
    store_secret("model-key", "new", opened, in_file=True)
    assert reveal_and_origin("model-key", opened) == ("new", "encrypted file")
    store_secret("model-key", "newer", opened)
    assert reveal_and_origin("model-key", opened) == ("newer", "encrypted file")
    assert list(memory.values.values()) == ["old"]
    assert delete_secret("model-key", opened) == ("encrypted file", "keychain")


def test_what_is_empty_or_has_no_name_is_refused(sources: SecretSources) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        store_secret("webhook-secret", " \n", sources)
    with pytest.raises(ConfigError, match="control characters"):
        store_secret("webhook-secret", "fake\0value", sources)
    with pytest.raises(ValueError, match="the name of a secret"):
        find_secret("no-such", sources)


class _BrokenRing(MemoryKeyring):
    def get_password(self, service: str, username: str) -> str | None:  # noqa: ARG002 - the library's signature
        raise ConnectionRefusedError("no bus")

    def set_password(self, service: str, username: str, password: str) -> None:  # noqa: ARG002 - likewise
        raise ConnectionRefusedError(f"no bus for {password}")


def test_other_faults_of_a_keychain_are_told_by_their_name_alone(sources: SecretSources) -> None:
    keyring.set_keyring(_BrokenRing())
    assert find_secret("model-key", sources) is None
    with pytest.raises(ConfigError, match="refuses: ConnectionRefusedError") as refusal:
        store_secret("model-key", passphrase().reveal(), sources)
    assert passphrase().reveal() not in "".join(traceback.format_exception(refusal.value))


def test_a_back_end_that_is_not_there_is_no_keychain(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_keyring() -> None:  # what keyring does with PYTHON_KEYRING_BACKEND=absent.Keyring
        raise ModuleNotFoundError("No module named 'absent'")

    monkeypatch.setattr(keyring, "get_keyring", get_keyring)
    keychain = find_keychain()
    assert keychain.backend is None
    assert "ModuleNotFoundError" in keychain.name


def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfvalue\r\n")
    secret = read_secret_file(tmp_path / "file", "passphrase")
    assert secret is not None
    assert secret.reveal() == "value"


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="cannot be read: it is no regular file"):
        read_secret_file(tmp_path / "pipe", "passphrase")


@pytest.mark.parametrize(
    "kind",
    ["keyrings.alt.file.PlaintextKeyring", "keyrings.alt.file.EncryptedKeyring", "somebodys.PlainTextRing"],
)
def test_a_plaintext_back_end_is_told_by_its_name(kind: str) -> None:
    assert is_plaintext(kind)
    module, _, name = kind.rpartition(".")
    ring = type(name, (MemoryKeyring,), {"__module__": module})()
    keyring.set_keyring(ring)
    keychain = find_keychain()
    assert keychain.backend is None
    assert kind in keychain.name
    assert not is_plaintext("keyring.backends.SecretService.Keyring")


def test_a_program_that_fails_is_silent_or_not_there_is_told(home: Home, tmp_path: Path) -> None:
    sources_module._answers.clear()
    failing = _write(tmp_path / "failing", "#!/bin/sh\necho sk-secret >&2\nexit 3\n", 0o700)
    with pytest.raises(SecretMissingError, match="ended with 3") as error:
        require_secret("model-key", SecretSources(home, command=(str(failing), "{name}")))
    assert "sk-secret" not in str(error.value)
    slow = _write(tmp_path / "slow", "#!/bin/sh\nexec sleep 60\n", 0o700)
    silent = SecretSources(home, command=(str(slow), "{name}"), command_timeout_s=0.2)
    with pytest.raises(SecretMissingError, match=r"did not answer within 0\.2 s"):
        require_secret("model-key", silent)
    with pytest.raises(ConfigError, match="the program no-such-program, which is not there"):
        require_secret("model-key", SecretSources(home, command=("no-such-program", "{name}")))


def test_gh_is_asked_for_its_token_alone_and_once(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources_module._answers.clear()
    _write(tmp_path / "bin" / "gh", f'#!/bin/sh\necho run >> {tmp_path}/runs\necho "token of $*"\n', 0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    sources = SecretSources(home, gh=True)
    for _ in range(3):
        assert reveal_and_origin("github-token", sources)[0] == "token of auth token"
    assert find_secret("model-key", sources) is None
    assert (tmp_path / "runs").read_text().count("run") == 1
    sources_module._answers.clear()


@pytest.mark.slow
def test_a_passphrase_comes_from_a_descriptor_once_and_the_environment_is_told_apart(
    opened: SecretSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    from squire_pipelines.secrets import passphrase as module  # noqa: PLC0415 - only here

    module._read_from_descriptor.clear()
    monkeypatch.delenv("SQUIRE_SECRETS_PASSPHRASE_FILE")
    assert module.find_passphrase() is None
    monkeypatch.setenv(module.VARIABLE, "from the environment")
    exposed = module.find_passphrase()
    assert isinstance(exposed, Secret)
    assert module.is_exposed(exposed)
    reading, writing = os.pipe()
    os.write(writing, b"from a descriptor\n")
    os.close(writing)
    monkeypatch.setenv(module.DESCRIPTOR_VARIABLE, str(reading))
    for _ in range(2):
        handed_on = module.find_passphrase()
        assert handed_on is not None
        assert handed_on.reveal() == "from a descriptor"
        assert not module.is_exposed(handed_on)
    assert module.DESCRIPTOR_VARIABLE not in os.environ, "in a child the number is another file's"
    os.close(reading)
    module._read_from_descriptor.clear()
    monkeypatch.setenv(module.DESCRIPTOR_VARIABLE, "987")
    with pytest.raises(ConfigError, match="names no descriptor"):
        module.find_passphrase()
    assert opened


def test_a_process_of_squires_writes_no_core_dump() -> None:
    from squire_pipelines.observability.logging import Component  # noqa: PLC0415 - only here
    from squire_pipelines.process_setup import set_up_process  # noqa: PLC0415 - only here

    pid = os.fork()
    if not pid:
        set_up_process(Component.CLI)
        os._exit(0 if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0) else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_program_does_not_get_the_passphrase(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources_module._answers.clear()
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE", passphrase().reveal())
    program = _write(tmp_path / "program", '#!/bin/sh\necho "has:${SQUIRE_SECRETS_PASSPHRASE:-none} $PATH"\n', 0o700)
    value, _ = reveal_and_origin("model-key", SecretSources(home, command=(str(program),)))
    assert value.startswith("has:none /")


def test_a_folder_that_may_not_be_searched_is_told(
    sources: SecretSources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)  # root may search every folder
    assert sources.store.exists
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "locked"))
    assert passphrase_file() == tmp_path / "locked" / "squire-passphrase"


def test_a_trial_shows_whether_a_secret_could_be_kept_and_leaves_nothing(
    sources: SecretSources, memory: MemoryKeyring
) -> None:
    check_storable("github-token", sources)
    assert memory.values == {}
    memory.locked = True
    with pytest.raises(ConfigError, match="github-token") as caught:
        check_storable("github-token", sources)
    assert "trial" not in caught.value.message
    assert "unlock the keychain" in caught.value.hint


def test_a_plain_file_that_is_not_there_or_cannot_be_removed_is_told(
    opened: SecretSources, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no plain file"):
        import_plain_file("github-token", opened)
    plain = _write(opened.plain_file("github-token"), "a-token\n")

    def refuse(_path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ConfigError, match="cannot be removed: Operation not permitted"):
        import_plain_file("github-token", opened)
    assert plain.exists()
