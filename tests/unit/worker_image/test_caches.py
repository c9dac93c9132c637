"""Overlays over read-only package caches: what is linked, copied and left out, and that too much is not used."""

from pathlib import Path

import pytest
from squire_worker import caches


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_nothing_mounted_is_nothing_set(shared: Path, home: Path) -> None:
    assert caches.prepare(home, shared) == {}
    assert not home.exists()


def test_npm_gets_its_index_copied_and_its_content_linked(shared: Path, home: Path) -> None:
    make(shared / "npm" / "_cacache", "index-v5/ab/x", "content-v2/sha512/y", "tmp/z")
    (shared / "npm" / "_cacache" / "index-v5" / "ab" / "x").chmod(0o444)
    environment = caches.prepare(home, shared)
    private = home / caches.PRIVATE / "npm"
    assert environment == {"npm_config_cache": str(private), "npm_config_offline": "true"}
    assert (private / "_cacache" / "content-v2").readlink() == shared / "npm" / "_cacache" / "content-v2"
    copied = private / "_cacache" / "index-v5" / "ab" / "x"
    assert not copied.is_symlink()
    copied.write_text("mine", encoding="utf-8")
    assert (shared / "npm" / "_cacache" / "index-v5" / "ab" / "x").read_text(encoding="utf-8") == "index-v5/ab/x"
    assert not (private / "_cacache" / "tmp").exists()


def test_pnpm_gets_its_files_linked_and_forgets_other_projects(shared: Path, home: Path) -> None:
    make(shared / "pnpm" / "v10", "files/aa/x", "index/00/y", "projects/p")
    environment = caches.prepare(home, shared)
    private = home / caches.PRIVATE / "pnpm"
    assert environment["npm_config_store_dir"] == environment["pnpm_config_store_dir"] == str(private)
    assert environment["npm_config_package_import_method"] == "copy"
    assert (private / "v10" / "files").is_symlink()
    assert (private / "v10" / "index" / "00" / "y").is_file()
    assert not (private / "v10" / "projects").exists()


def test_uv_gets_its_archives_linked_and_its_own_links_kept(shared: Path, home: Path) -> None:
    make(shared / "uv", "archive-v0/abc/x.py", "wheels-v8/pypi/x.msgpack", "interpreter-v5/y", "CACHEDIR.TAG", ".lock")
    (shared / "uv" / "wheels-v8" / "pypi" / "x").symlink_to("../../archive-v0/abc")
    (shared / "uv" / "alias").symlink_to("archive-v0")
    environment = caches.prepare(home, shared)
    private = home / caches.PRIVATE / "uv"
    assert environment["UV_CACHE_DIR"] == str(private)
    assert environment["UV_OFFLINE"] == "1"
    assert (private / "wheels-v8" / "pypi" / "x" / "x.py").read_text(encoding="utf-8") == "archive-v0/abc/x.py"
    assert (private / "alias").readlink() == Path("archive-v0")
    assert sorted(path.name for path in private.iterdir()) == ["CACHEDIR.TAG", "alias", "archive-v0", "wheels-v8"]


def test_wheels_are_found_where_they_are(shared: Path, home: Path) -> None:
    make(shared / "pip", "a-1-py3-none-any.whl")
    environment = caches.prepare(home, shared)
    assert environment["PIP_FIND_LINKS"] == environment["UV_FIND_LINKS"] == str(shared / "pip")
    assert environment["PIP_NO_INDEX"] == "1"


@pytest.mark.parametrize("bound", ["MAX_COPIED_FILES", "MAX_COPIED_BYTES"])
def test_an_index_that_is_too_large_is_not_used_and_the_log_says_so(
    shared: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], bound: str
) -> None:
    make(shared / "npm" / "_cacache", *(f"index-v5/{number}" for number in range(5)))
    make(shared / "pip", "a.whl")
    monkeypatch.setattr(caches, bound, 3)
    environment = caches.prepare(home, shared)
    assert "npm_config_cache" not in environment
    assert "PIP_FIND_LINKS" in environment
    assert "the npm cache is not used" in capfd.readouterr().err


def test_a_cache_that_is_none_is_not_used(shared: Path, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (shared / "npm").mkdir(parents=True)
    assert caches.prepare(home, shared) == {}
    assert "the npm cache is not used" in capfd.readouterr().err
