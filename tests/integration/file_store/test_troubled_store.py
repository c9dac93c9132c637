"""A store that is slow, full, refuses our credentials, has another time, loses answers or gives half of a file."""

import threading
from pathlib import Path
from typing import Literal

import pytest

from squire_pipelines.file_store.errors import (
    FileStoreError,
    StoreClockError,
    StoreDeniedError,
    StoredFileDamagedError,
    StoreFullError,
    StoreMissingError,
    StoreUnreachableError,
)
from squire_pipelines.file_store.folder import FolderBackend
from squire_pipelines.file_store.model import Fingerprint
from squire_pipelines.file_store.store import FileStore, StoreLimits
from tests.support.object_store import KEY, FaultProxy, StoreFault


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"finished work")
    return path


def _in_folder(folder: Path) -> FileStore:
    return FileStore(FolderBackend(folder), StoreLimits(30, 1, 2**20), f"file://{folder}")


@pytest.mark.parametrize(
    ("status", "code", "kind", "step"),
    [
        (403, "RequestTimeTooSkewed", StoreClockError, "clock"),
        (403, "SignatureDoesNotMatch", StoreDeniedError, "files-key"),
        (403, "InvalidAccessKeyId", StoreDeniedError, "files-key"),
        (403, "AccessDenied", StoreDeniedError, "files-key"),
        (507, "XMinioStorageFull", StoreFullError, "quota"),
        (403, "QuotaExceeded", StoreFullError, "quota"),
        (404, "NoSuchBucket", StoreMissingError, "bucket"),
        (400, "BadDigest", StoredFileDamagedError, "changes"),
        (503, "SlowDown", StoreUnreachableError, "tried again"),
        (500, "InternalError", StoreUnreachableError, "tried again"),
    ],
)
def test_each_refusal_has_its_name_and_next_step(
    *,
    status: int,
    code: str,
    kind: type[FileStoreError],
    step: str,
    bucket: FileStore,
    faulty_s3: FaultProxy,
    source: Path,
) -> None:
    # After the look whether it is there: the answer to HEAD has no words.
    faulty_s3.faults.extend([StoreFault("refuse", 404, "NoSuchKey"), StoreFault("refuse", status, code)])
    with pytest.raises(FileStoreError) as caught:
        bucket.put("some/file", source)
    assert type(caught.value) is kind
    assert step in caught.value.hint
    assert "s3://shared/" in caught.value.message
    assert KEY not in str(caught.value)


def test_a_store_that_never_answers_is_left_in_time(bucket: FileStore, faulty_s3: FaultProxy) -> None:
    store = FileStore(bucket._backend, StoreLimits(0.1, 1, 2**20), bucket.place)
    faulty_s3.faults.append(StoreFault("hang"))
    with pytest.raises(StoreUnreachableError) as caught:
        store.find("some/file")
    assert caught.value.hint
    faulty_s3.released.set()


def test_a_lost_answer_is_asked_for_again_and_finds_the_file(
    bucket: FileStore, faulty_s3: FaultProxy, source: Path
) -> None:
    store = FileStore(bucket._backend, StoreLimits(30, 3, 2**20), bucket.place, lambda _seconds: None)
    # The file is put, and the answer that says so is lost.
    faulty_s3.faults.extend([StoreFault("refuse", 404, "NoSuchKey"), StoreFault("lose")])
    assert store.put("some/file", source).size == 13
    assert [line.split()[0] for line in faulty_s3.requests] == ["HEAD", "PUT", "PUT", "HEAD"]


def test_a_store_that_knows_no_conditions_takes_files_all_the_same(
    bucket: FileStore, faulty_s3: FaultProxy, source: Path
) -> None:
    faulty_s3.faults.extend([StoreFault("refuse", 404, "NoSuchKey"), StoreFault("refuse", 501, "NotImplemented")])
    assert bucket.put("some/file", source).size == 13
    assert [line.split()[0] for line in faulty_s3.requests] == ["HEAD", "PUT", "PUT", "HEAD"]
    assert bucket.put("some/file", source).size == 13


@pytest.mark.parametrize("kind", ["cut", "change"])
def test_half_of_a_file_and_a_changed_one_are_never_taken(
    kind: Literal["cut", "change"],
    bucket: FileStore,
    faulty_s3: FaultProxy,
    source: Path,
    tmp_path: Path,
) -> None:
    bucket.put("some/file", source)
    patient = FileStore(bucket._backend, StoreLimits(30, 2, 2**20), bucket.place, lambda _seconds: None)
    target = tmp_path / "folder" / "copy"
    faulty_s3.faults_of_reads.append(StoreFault(kind))
    with pytest.raises((StoredFileDamagedError, StoreUnreachableError)):
        bucket.get("some/file", target)
    assert list(target.parent.iterdir()) == []
    faulty_s3.faults_of_reads.append(StoreFault(kind))
    patient.get("some/file", target)
    assert target.read_bytes() == b"finished work"


def test_wrong_credentials_are_read_again(bucket: FileStore, faulty_s3: FaultProxy) -> None:
    store = FileStore(bucket._backend, StoreLimits(30, 1, 2**20), bucket.place)
    assert not store.was_denied
    faulty_s3.faults.append(StoreFault("refuse", 403, "InvalidAccessKeyId"))
    with pytest.raises(StoreDeniedError):
        store.find("some/file")
    assert store.was_denied


def test_a_folder_that_is_not_mounted_is_not_made(tmp_path: Path, source: Path) -> None:
    store = _in_folder(tmp_path / "not-mounted")
    with pytest.raises(StoreMissingError, match="not there"):
        store.put("some/file", source)
    assert not (tmp_path / "not-mounted").exists()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), StoreFullError),
        (OSError(122, "Disk quota exceeded"), StoreFullError),
        (PermissionError(13, "Permission denied"), StoreDeniedError),
        (OSError(30, "Read-only file system"), StoreDeniedError),
        (OSError(116, "Stale file handle"), StoreUnreachableError),
    ],
)
def test_trouble_of_a_folder_has_its_name(error: OSError, kind: type[FileStoreError], tmp_path: Path) -> None:
    explained = FolderBackend(tmp_path).explain(error)
    assert type(explained) is kind
    assert isinstance(explained, FileStoreError)
    assert explained.hint


def test_a_file_that_changes_while_it_is_put_is_not_stored(tmp_path: Path, source: Path) -> None:
    backend = FolderBackend(tmp_path)
    with pytest.raises(StoredFileDamagedError):
        backend.put("some/file", source, Fingerprint(13, "0" * 64))
    assert backend.find("some/file", with_digest=False) is None
    assert [path.name for path in (tmp_path / "some").iterdir()] == []


def test_two_that_put_at_once_have_one_file(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    store = _in_folder(tmp_path / "mounted")
    outcomes: list[str] = []

    def put(number: int) -> None:
        path = tmp_path / f"source-{number}"
        path.write_bytes(bytes([number % 2]) * 1000)
        try:
            outcomes.append(store.put("some/file", path).sha256 or "")
        except FileStoreError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("stored_file_taken") == 4
    assert len(set(outcomes)) == 2
