"""The key that a process hands on to its children in a file: who may read it, for which store it is, and its end."""

import hashlib
import os
import pickle
from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.secrets.key_file import KEY_VARIABLE, can_hand_on, find_key, key_file, memory_folder, write_key
from squire_pipelines.secrets.sealed import SealingKey, derive_key, new_salt
from tests.support.secret_store_faults import CHEAP


@pytest.fixture
def key() -> SealingKey:
    return derive_key("a passphrase of a test", new_salt(), CHEAP)


def test_without_the_variable_there_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert key_file() is None
    assert find_key(new_salt()) is None


def test_a_key_that_was_handed_on_opens_the_store_with_its_salt_and_no_other(
    tmp_path: Path, key: SealingKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_key(tmp_path, key)
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv(KEY_VARIABLE, str(path))
    assert find_key(key.salt) == key.key
    assert find_key(new_salt()) is None


@pytest.mark.parametrize("text", ["nothing of the kind", "00 11", "", "0" * 64])
def test_a_file_without_a_key_is_refused_by_name_and_shows_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path = tmp_path / "key"
    path.write_text(text + "\n", encoding="utf-8")
    path.chmod(0o600)
    monkeypatch.setenv(KEY_VARIABLE, str(path))
    if not text:
        assert find_key(new_salt()) is None
        return
    with pytest.raises(ConfigError, match="holds no key") as caught:
        find_key(new_salt())
    assert KEY_VARIABLE in caught.value.hint
    assert text not in str(caught.value)


def test_a_key_that_others_may_read_is_not_taken(
    tmp_path: Path, key: SealingKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_key(tmp_path, key)
    path.chmod(0o644)
    monkeypatch.setenv(KEY_VARIABLE, str(path))
    with pytest.raises(ConfigError):
        find_key(key.salt)


def test_a_folder_in_memory_is_its_owners_alone_ends_with_the_block_and_takes_what_a_killed_process_left(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    mark = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    left = tmp_path / f"squire-{os.geteuid()}-{mark}-left"
    left.mkdir()
    (left / "key").write_text("an old key", encoding="utf-8")
    others = tmp_path / "squire-of-somebody-else"
    others.mkdir()
    with memory_folder(home, folder=tmp_path) as folder:
        assert not left.exists()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    assert others.exists()


def test_only_a_mounted_folder_counts_as_memory(tmp_path: Path) -> None:
    assert not can_hand_on(tmp_path)


def test_a_key_is_not_pickled(key: SealingKey) -> None:
    with pytest.raises(TypeError, match="not written anywhere"):
        pickle.dumps(key)
