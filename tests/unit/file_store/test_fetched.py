import os
from pathlib import Path

from squire_pipelines.file_store.fetched import FetchedFiles
from squire_pipelines.file_store.folder import FolderBackend
from squire_pipelines.file_store.store import FileStore, StoreLimits


def test_what_was_used_longest_ago_makes_room_and_what_is_in_use_stays(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = FileStore(FolderBackend(tmp_path / "store"), StoreLimits(30, 1, 2**20), "file://store")
    cache = FetchedFiles(tmp_path / "cache", 2500)
    for number in range(4):
        store.put_content(f"a/{number}/file", bytes(1000))
    assert cache.fetch(store, "a/none/file") is None
    for number in range(3):
        path = cache.fetch(store, f"a/{number}/file")
        assert path is not None
    assert len(list((tmp_path / "cache").rglob("file"))) == 3  # all were used just now
    for number in (0, 1, 2):
        os.utime(cache.path(f"a/{number}/file"), (1000 + number, 1000 + number))
    assert cache.fetch(store, "a/0/file") == cache.path("a/0/file")  # which makes it the newest
    cache.fetch(store, "a/3/file")
    left = sorted(file.parent.name for file in (tmp_path / "cache").rglob("file"))
    assert left == ["0", "3"]
