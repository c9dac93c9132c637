"""What a file may contain before any of it is written anywhere."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from squire_pipelines.backups.file_format import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    BackupFormatError,
    BackupWriter,
    open_backup,
)
from squire_pipelines.backups.manifest import CONFIG, LEDGER
from squire_pipelines.errors import LedgerError, NotFoundError
from tests.support.backup_files import TarEntry, manifest_of, write_backup, write_tar

FILES = {LEDGER: b"rows" * 300, CONFIG: b""}
GOOD = manifest_of(FILES).model_dump_json().encode()


def read_all(path: Path) -> dict[str, bytes]:
    files = {}
    with open_backup(path) as backup:
        for content in backup.members():
            target = io.BytesIO()
            assert sum(content.copy_to(target)) == content.member.size
            files[content.member.name] = target.getvalue()
    return files


def test_what_is_written_is_read_and_tar_unpacks_it(tmp_path: Path) -> None:
    path = write_backup(tmp_path / "b.tar.gz", FILES)
    assert read_all(path) == FILES
    with tarfile.open(path) as tar:
        assert tar.getnames() == [MANIFEST, *FILES]
        assert all(member.isreg() and member.mode == 0o600 for member in tar)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([], "ends in the middle|header that is none"),
        ([TarEntry("other")], "does not begin with a manifest"),
        ([TarEntry(MANIFEST, b"{}")], "manifest cannot be used"),
        ([TarEntry(MANIFEST, b"[" * 100_000)], "manifest cannot be used"),
        ([TarEntry(MANIFEST, GOOD.replace(b"2026", b"0026"))], "used: made_at: not a year from 2000 to 9000"),
        ([TarEntry(MANIFEST, GOOD)], "header that is none"),
        ([TarEntry(MANIFEST, GOOD), TarEntry("../x", FILES[LEDGER])], "the file has ../x"),
        ([TarEntry(MANIFEST, GOOD), TarEntry("/etc/x", FILES[LEDGER])], "the file has /etc/x"),
        ([TarEntry(MANIFEST, GOOD), TarEntry(LEDGER, type=tarfile.SYMTYPE, link="/etc/x")], "no regular file"),
        ([TarEntry(MANIFEST, GOOD), TarEntry(LEDGER, type=tarfile.LNKTYPE, link="x")], "no regular file"),
        ([TarEntry(MANIFEST, GOOD), TarEntry(LEDGER, type=tarfile.DIRTYPE)], "no regular file"),
        ([TarEntry(MANIFEST, GOOD), TarEntry(LEDGER, type=tarfile.CHRTYPE)], "no regular file"),
        ([TarEntry(MANIFEST, GOOD), TarEntry("x" * 200, b"x")], "no regular file"),  # an extension of the format
        ([TarEntry(MANIFEST, GOOD), TarEntry(LEDGER, FILES[LEDGER] + b"more")], "of 1200 bytes"),
        ([TarEntry(MANIFEST, GOOD), TarEntry(LEDGER, b"ROWS" * 300)], "its digest differs"),
        ([TarEntry(MANIFEST, GOOD), TarEntry(LEDGER, FILES[LEDGER]), TarEntry("more")], "the file has more"),
        (
            [TarEntry(MANIFEST, GOOD), TarEntry(LEDGER, FILES[LEDGER]), TarEntry(CONFIG), TarEntry(CONFIG)],
            "more than its manifest",
        ),
    ],
)
def test_what_the_manifest_does_not_name_is_refused(tmp_path: Path, entries: list[TarEntry], reason: str) -> None:
    path = write_tar(tmp_path / "b.tar.gz", entries)
    with pytest.raises(BackupFormatError, match=reason) as caught:
        read_all(path)
    assert caught.value.hint


def test_a_manifest_that_says_it_is_huge_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo(MANIFEST)
    info.size = MAX_MANIFEST_BYTES + 1
    (tmp_path / "b").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(BackupFormatError, match="does not begin with a manifest"):
        read_all(tmp_path / "b")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = write_backup(tmp_path / "b.tar.gz", FILES)
    whole = path.read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupFormatError, match=r"half.*damaged"):
        read_all(tmp_path / "half")
    (tmp_path / "text").write_text("a letter")
    with pytest.raises(BackupFormatError, match="is no backup"):
        read_all(tmp_path / "text")
    with pytest.raises(NotFoundError):
        read_all(tmp_path / "none")
    with pytest.raises(BackupFormatError, match="cannot be read"):
        read_all(tmp_path)


@pytest.mark.parametrize("content", [b"rows", b"rows" * 301, b"ROWS" * 300])
def test_a_file_that_changes_while_it_is_copied_ends_the_backup(content: bytes) -> None:
    manifest = manifest_of(FILES)
    writer = BackupWriter(io.BytesIO(), manifest)
    with pytest.raises(LedgerError, match="has changed"):
        list(writer.add(manifest.members[0], io.BytesIO(content)))
