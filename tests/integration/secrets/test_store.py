"""The encrypted file on a disk: who may open it, what a fault leaves of it, and how often its key is derived."""

import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError, PassphraseError, SecretStoreError
from squire_pipelines.files import lock
from squire_pipelines.secrets import store as store_module
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.store import SecretStore
from tests.support.ledgers import as_nobody
from tests.support.secret_store_faults import CHEAP, cheap_store, kill_writers, passphrase

VALUE = "the-value-of-a-secret"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "secrets.sealed"


@pytest.fixture
def store(path: Path) -> SecretStore:
    made = cheap_store(path)
    made.create(passphrase())
    made.change(lambda values: values.update({"model-key": VALUE}))
    return made


def forget(path: Path) -> None:
    """Make this process one that has not opened the file."""
    store_module._opened.pop(path, None)
    store_module._refused.pop(path, None)


def test_a_secret_is_on_the_disk_encrypted_and_for_its_owner_alone(store: SecretStore, path: Path) -> None:
    assert VALUE.encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.find("model-key") == VALUE
    assert store.find("github-token") is None
    forget(path)
    assert cheap_store(path).read() == {"model-key": VALUE}


def test_names_need_no_passphrase_and_values_do(store: SecretStore, path: Path) -> None:
    forget(path)
    locked = cheap_store(path, None)
    assert locked.names() == store.names() == ("model-key",)
    assert locked.find("github-token") is None
    with pytest.raises(PassphraseError, match="is locked") as error:
        locked.find("model-key")
    assert "SQUIRE_SECRETS_PASSPHRASE_FILE" in error.value.hint
    locked.unlock(passphrase())
    assert locked.find("model-key") == VALUE


@pytest.mark.usefixtures("store")
def test_a_wrong_passphrase_waits_and_the_same_one_again_is_refused_without_work(path: Path) -> None:
    forget(path)
    before, pauses = path.read_bytes(), list[float]()
    wrong = SecretStore(path, passphrase=lambda: passphrase("another passphrase"), pause=pauses.append)
    for _ in range(3):
        with pytest.raises(PassphraseError, match="does not open"):
            wrong.find("model-key")
    with pytest.raises(PassphraseError):
        wrong.change(lambda values: values.clear())
    assert pauses == [store_module.WRONG_PASSPHRASE_PAUSE_S]
    assert path.read_bytes() == before


@pytest.mark.usefixtures("store")
def test_the_key_is_derived_once_by_a_process_also_by_threads_and_after_changes_of_others(path: Path) -> None:
    forget(path)
    asked = []

    def give() -> Secret:
        asked.append(1)
        return passphrase()

    threads = [threading.Thread(target=SecretStore(path, passphrase=give).read) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pid = os.fork()
    if not pid:
        cheap_store(path).change(lambda values: values.update(other="by another process"))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert SecretStore(path, passphrase=give).find("other") == "by another process"
    assert len(asked) == 1


def test_a_changed_passphrase_opens_and_the_old_one_does_not(store: SecretStore, path: Path) -> None:
    store.change_passphrase(passphrase("quite another passphrase"))
    assert store.find("model-key") == VALUE
    forget(path)
    with pytest.raises(PassphraseError):
        store.find("model-key")
    assert cheap_store(path, "quite another passphrase").find("model-key") == VALUE
    with pytest.raises(ConfigError, match="fewer than 8"):
        store.change_passphrase(passphrase("short"))


def test_a_store_is_made_once(store: SecretStore) -> None:
    store.create(passphrase())
    assert store.names() == ("model-key",)
    with pytest.raises(PassphraseError):
        store.create(passphrase("another passphrase"))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.chmod(0o640), "chmod 600"),
        (lambda path: os.chown(path, 12345, -1), "belongs to the user 12345"),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "damaged"),
        (lambda path: path.write_bytes(b"squire-secrets 3\n" + bytes(99)), "version 3"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "cannot be read"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_a_file_that_is_not_as_it_must_be_is_refused_and_stays(
    store: SecretStore, path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    for act in (store.names, store.read, lambda: store.change(lambda values: values.update(new="x"))):
        with pytest.raises(SecretStoreError, match=says) as error:
            act()
        assert error.value.hint
    assert (path.read_bytes() if path.is_file() else None) == before


def test_without_a_file_nothing_is_changed(path: Path) -> None:
    assert cheap_store(path).names() == ()
    with pytest.raises(SecretStoreError, match="there is no secret store"):
        cheap_store(path).change(lambda values: values.clear())


def test_a_full_disk_changes_nothing(store: SecretStore, path: Path) -> None:
    before = path.read_bytes()
    pid = os.fork()
    if not pid:  # a limit of the size of files is what a full disk is: the write fails half way
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        try:
            store.change(lambda values: values.update(other="x" * 500))
        except SecretStoreError as error:
            os._exit(0 if "cannot be written: File too large; nothing was changed" in error.message else 1)
        os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir() if file.name.endswith(".part")] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes nobody")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    for above in (folder, *folder.parents[:4]):
        if above.stat().st_uid == os.geteuid() and str(above) != "/tmp":  # noqa: S108 - a comparison
            above.chmod(0o755)
    with as_nobody(), pytest.raises(SecretStoreError, match="this user may not write to the folder"):
        cheap_store(folder / "secrets.sealed").create(passphrase())


@pytest.mark.usefixtures("store")
def test_a_writer_waits_for_another_and_says_when_it_gives_up(path: Path) -> None:
    hasty = SecretStore(path, lock_timeout_s=0.05)
    with lock(path.with_name("secrets.sealed.lock")), pytest.raises(SecretStoreError, match="another process"):
        hasty.change(lambda values: values.update(new="x"))


@pytest.mark.slow
def test_killed_writers_tear_and_lose_nothing_and_leave_nothing(tmp_path: Path) -> None:
    report = kill_writers(tmp_path / "secrets.sealed", 40, seed=7)
    assert report.problems == []
    assert report.acknowledged
    cheap_store(tmp_path / "secrets.sealed").change(lambda values: values.update(last="x"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["secrets.sealed", "secrets.sealed.lock"]


def test_the_cost_of_a_file_is_its_own(path: Path, store: SecretStore) -> None:
    assert store.cost() == CHEAP
    SecretStore(path).change(lambda values: values.update(new="x"))
    assert store.cost() == CHEAP
