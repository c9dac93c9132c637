"""Files that appear whole or not at all, and locks that end with their holder."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from squire_pipelines.files import lock, lock_descriptor, open_atomically, put_in_place, remove_tree, write_atomically
from tests.support.deep_trees import make_deep

ROOT = Path(__file__).parents[2]
HOLDER = """
import pathlib, sys, time
from squire_pipelines.files import lock
with lock(pathlib.Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(path: Path, *, shared: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock."""
    argv = [sys.executable, "-c", HOLDER, str(path), "shared" if shared else ""]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("durable", [True, False])
def test_file_appears_whole_and_for_its_owner_alone(tmp_path: Path, *, durable: bool) -> None:
    path = tmp_path / "file"
    with open_atomically(path, durable=durable) as file:
        file.write(b"new")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        write_atomically(tmp_path / "file", b"for all to read", mode=0o644)
    finally:
        os.umask(umask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def write_half() -> None:
        with open_atomically(path) as file:
            file.write(b"ne")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_symlink_is_replaced_and_what_it_names_is_not_written(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    path = tmp_path / "file"
    path.symlink_to(secret)
    write_atomically(path, b"new")
    assert secret.read_bytes() == b"secret"
    assert not path.is_symlink()
    assert path.read_bytes() == b"new"


def test_file_that_appeared_meanwhile_is_not_replaced_unless_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write_beside_another_writer() -> None:
        with open_atomically(path, replace=False) as file:
            file.write(b"ours")
            path.write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        write_beside_another_writer()
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_built_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    built, path = tmp_path / "built", tmp_path / "file"
    built.write_bytes(b"new")
    path.write_bytes(b"old")
    put_in_place(built, path)
    assert path.read_bytes() == b"new"
    assert not built.exists()


def test_lock_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    with lock(path):
        pass
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_lock_is_not_reentrant_and_is_free_after_its_block(tmp_path: Path) -> None:
    with lock(tmp_path / "lock"), pytest.raises(TimeoutError):
        lock(tmp_path / "lock", timeout_s=0.1)
    with lock(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("shared", [True, False])
def test_lock_of_another_process_is_waited_for_and_ends_when_that_is_killed(tmp_path: Path, *, shared: bool) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            lock(path, timeout_s=0.3, shared=shared)
        assert time.monotonic() - began >= 0.3
        process.kill()
        with lock(path, timeout_s=10, shared=shared):
            pass


def test_shared_locks_exclude_only_an_exclusive_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path, shared=True):
        with lock(path, shared=True), pytest.raises(TimeoutError):
            lock(path)
        with pytest.raises(TimeoutError):
            lock(path)


def test_locked_descriptor_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as writer, path.open("rb") as reader:
        assert lock_descriptor(writer.fileno())
        assert not lock_descriptor(reader.fileno())
        writer.close()
        assert lock_descriptor(reader.fileno())


def test_tree_of_3000_levels_is_removed(tmp_path: Path) -> None:
    make_deep(tmp_path / "tree", 3000)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_what_links_lead_to_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "inner").mkdir(parents=True)
    (tmp_path / "tree/below/.removed-1").mkdir(parents=True)
    (tmp_path / "tree/.removed-1").symlink_to(kept)
    (tmp_path / "tree/below/link").symlink_to(kept, target_is_directory=True)
    os.mkfifo(tmp_path / "tree/below/pipe")
    remove_tree(tmp_path / "tree")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept / "inner").is_dir()


def test_tree_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_tree(tmp_path / "none")


def test_tree_without_permissions_is_removed_by_its_owner(tmp_path: Path) -> None:
    owner = 65534 if os.getuid() == 0 else os.getuid()
    tree = tmp_path / "tree"
    for number, mode in enumerate((0o000, 0o100, 0o200, 0o400, 0o500)):
        (tree / str(number) / "inner" / "more").mkdir(parents=True)
        (tree / str(number) / "file").write_text("x", encoding="utf-8")
        (tree / str(number) / "inner").chmod(mode)
        (tree / str(number)).chmod(mode)
    tree.chmod(0o000)
    for path in (tmp_path, tree, *tree.rglob("*")):
        os.chown(path, owner, -1)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chdir(tmp_path)  # the folders above it may be closed to another user
            os.setuid(owner)
            remove_tree(Path("tree"))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert list(tmp_path.iterdir()) == []
