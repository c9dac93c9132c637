"""A whole home in one file, and back: what is in it, what it refuses, and kills at any moment."""

import json
import os
import shutil
import signal
import stat
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from squire_pipelines.backups.file_format import MANIFEST, BackupFormatError
from squire_pipelines.backups.folder import back_up_regularly
from squire_pipelines.backups.kept import backup_name, kept_backups
from squire_pipelines.backups.manifest import CONFIG, LEDGER, MAX_NAME_BYTES
from squire_pipelines.backups.restoring import ledger_url_of, restore_home, verify_backup
from squire_pipelines.errors import ConfigError, LedgerError, NotFoundError, RefusedError, SchemaVersionError
from squire_pipelines.files import lock
from squire_pipelines.health.backup_probe import look_at_backups
from squire_pipelines.home import restore_mark
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.secrets.store import SecretStore
from squire_pipelines.settings.model import Settings, load_settings
from tests.support.audit_trail import add_rows, verdict_of
from tests.support.backup_files import TarEntry, back_up, home_at, ignore_progress, write_backup, write_tar
from tests.support.ledgers import new_sqlite_ledger
from tests.support.old_homes import run_killed
from tests.support.secret_store_faults import cheap_store, passphrase

GOALS = "Keep it green."
TOKEN = "ghp_" + "plain" * 8
_MANIFEST = {"squire": "1", "made_at": "2026-03-01T00:00:00Z", "revision": "0001", "database": "sqlite", "counts": {}}


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with settings, goals, a template, secrets, an archive and a ledger with an audit trail."""
    home = tmp_path / "old"
    monkeypatch.setenv("SQUIRE_HOME", str(home))
    ledger = new_sqlite_ledger(home / "ledger.sqlite")
    add_rows(ledger, 3)
    ledger.close()
    for name, text in {
        "config.toml": 'repositories = ["acme/shop"]\n[planner]\ngoals = ["goals/shop.md", "'
        + str(tmp_path)
        + '/x.md"]\n',
        "goals/shop.md": GOALS,
        "templates/fix.toml": "title = 'x'",
        "templates/.hidden.toml": "",
        "templates/" + "x" * MAX_NAME_BYTES + ".toml": "",
        "secrets/github-token": TOKEN,
        "archive/tasks/2026-03-01-1.parquet": "rows",
        "archive/tasks/.2026-03-01-2.parquet.building": "half",
        "cache/mirrors/x": "git",
    }.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    cheap_store(home / "secrets.sealed").create(passphrase())
    store = SecretStore(home / "secrets.sealed", passphrase=passphrase)
    store.change(lambda values: values.update({"model-key": "sealed value"}))
    return home


@pytest.fixture
def made(old: Path, tmp_path: Path) -> Path:
    """A backup of that home."""
    ledger = Ledger(f"sqlite:///{old / 'ledger.sqlite'}")
    path = back_up(ledger, tmp_path / "b.tar.gz", settings=load_settings()).path
    ledger.close()
    return path


def restore(path: Path, home: Path) -> None:
    restore_home(path, home_at(home), actor="ann", progress=ignore_progress)


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


RESTORED = {
    "ledger.sqlite",
    "config.toml",
    "goals/shop.md",
    "templates/fix.toml",
    "secrets.sealed",
    "archive/tasks/2026-03-01-1.parquet",
    "run/lock",
}


def test_a_home_comes_back_with_all_that_belongs_to_it(made: Path, old: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert verify_backup(made, progress=ignore_progress).counts["tasks"] == 0
    new = tmp_path / "new"
    restore(made, new)
    assert files_in(new) == RESTORED
    for name in RESTORED - {"ledger.sqlite", "run/lock"}:
        assert (new / name).read_bytes() == (old / name).read_bytes(), name
        assert stat.S_IMODE((new / name).stat().st_mode) == 0o600
    assert SecretStore(new / "secrets.sealed", passphrase=passphrase).find("model-key") == "sealed value"
    ledger = open_ledger(f"sqlite:///{new / 'ledger.sqlite'}")
    with ledger.read() as tx:
        newest = audit_page(tx)[0]
    assert (newest.actor, newest.action, newest.subject) == ("ann", "ledger.restore", str(made))
    assert verdict_of(ledger).ok
    ledger.close()


def test_what_is_not_in_it_is_named_and_no_secret_is_in_it_in_the_clear(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", TOKEN)
    ledger = Ledger(f"sqlite:///{old / 'ledger.sqlite'}")
    manifest = back_up(ledger, tmp_path / "b.tar.gz", settings=load_settings(), archive=False).manifest
    ledger.close()
    text = "\n".join(manifest.not_included)
    assert "webhook-secret: it comes from SQUIRE_WEBHOOK_SECRET" in text
    assert "github-token: it is in a plain file" in text
    assert f"the goals in {tmp_path / 'x.md'}" in text
    assert "a backup cannot have its name" in text
    assert "the archive" in text
    assert "passphrase" in text
    assert not any(member.name.startswith("archive/") for member in manifest.members)
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        contents = [file.read() for member in tar if (file := tar.extractfile(member)) is not None]
    assert contents
    assert not any(TOKEN.encode() in content for content in contents)


def test_a_backup_replaces_nothing_and_needs_a_ledger_and_room(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(f"sqlite:///{old / 'ledger.sqlite'}")
    (tmp_path / "b").write_text("a letter")
    with pytest.raises(RefusedError, match="is there already"):
        back_up(ledger, tmp_path / "b")
    with pytest.raises(LedgerError, match="cannot be made"):
        back_up(ledger, tmp_path / "b" / "c")
    ledger.close()
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "none"))
    with pytest.raises(NotFoundError, match="no ledger"):
        back_up(Ledger(f"sqlite:///{tmp_path / 'none' / 'ledger.sqlite'}"), tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".", "c"))] == []


def test_a_disk_without_room_is_named_before_anything_is_written(
    made: Path, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=2**20))
    ledger = Ledger(f"sqlite:///{old / 'ledger.sqlite'}")
    needing: list[Callable[[], object]] = [
        lambda: back_up(ledger, tmp_path / "c"),
        lambda: verify_backup(made, progress=ignore_progress),
        lambda: restore(made, tmp_path / "new"),
    ]
    for act in needing:
        with pytest.raises(RefusedError, match=r"1 MiB free, and up to .* MiB are needed"):
            act()
    ledger.close()
    assert not (tmp_path / "c").exists()
    assert files_in(tmp_path / "new") == {"run/lock"}


def test_a_filled_home_is_refused_and_left_alone(made: Path, old: Path, tmp_path: Path) -> None:
    before = files_in(old)
    with pytest.raises(RefusedError, match="is not empty: it has") as caught:
        restore(made, old)
    assert "--home" in caught.value.hint
    assert files_in(old) == before
    with lock(tmp_path / "new" / "run" / "lock"), pytest.raises(RefusedError, match="a Squire runs in"):
        restore(made, tmp_path / "new")


@pytest.mark.parametrize("revision", ["0099"])
def test_a_newer_backup_is_refused_with_the_version_that_made_it(tmp_path: Path, revision: str) -> None:
    path = write_backup(tmp_path / "b", {LEDGER: b"x"}, revision=revision)
    for act in (lambda: restore(path, tmp_path / "new"), lambda: verify_backup(path, progress=ignore_progress)):
        with pytest.raises(SchemaVersionError, match="schema 0099") as caught:
            act()
        assert "install Squire 9.9" in caught.value.hint
    assert not (tmp_path / "new").exists()


def test_a_damaged_backup_leaves_the_home_empty(made: Path, old: Path, tmp_path: Path) -> None:
    half, new = tmp_path / "half", tmp_path / "new"
    half.write_bytes(made.read_bytes()[: made.stat().st_size - 200])
    with pytest.raises(BackupFormatError, match="damaged"):
        restore(half, new)
    assert files_in(new) == {"run/lock"}
    path = write_backup(tmp_path / "c", {LEDGER: b"no database" * 100, CONFIG: b"x = 1"})
    with pytest.raises(LedgerError, match="no backup of a ledger"):
        restore(path, new)
    copy = (old / "ledger.sqlite").read_bytes()
    path = write_backup(tmp_path / "d", {LEDGER: copy}, revision="0007")
    with pytest.raises(BackupFormatError, match="the manifest says 0007"):
        restore(path, new)
    assert files_in(new) == {"run/lock"}
    restore(made, new)


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-200] + bytes([raw[-200] ^ 1]) + raw[-199:], lambda raw: raw + b"x"]
)
def test_damage_within_the_file_is_no_fault_of_the_disk(
    made: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(damage(made.read_bytes()))
    for act in (lambda: restore(damaged, tmp_path / "new"), lambda: verify_backup(damaged, progress=ignore_progress)):
        with pytest.raises(BackupFormatError, match="damaged") as caught:
            act()
        assert "take another backup" in caught.value.hint
    assert files_in(tmp_path / "new") == {"run/lock"}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("run",), "to itself"),
        (("run/conditions.json",), "to itself"),
        ((".restoring/x",), "no place"),
        (("restore-incomplete.json",), "to itself"),
        (("ledger.sqlite-wal",), "to itself"),
        (("a", "a/b"), "would be a file"),
        (("config.toml",), "the same file"),
    ],
)
def test_members_in_each_others_place_or_in_squires_own_are_refused(
    tmp_path: Path, names: tuple[str, ...], reason: str
) -> None:
    goals = {f"settings/goals/{name}": b"x" for name in names}
    path = _crafted(tmp_path / "b", {LEDGER: b"x", CONFIG: b"", **goals})
    with pytest.raises(BackupFormatError, match=reason):
        restore(path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def _crafted(path: Path, files: dict[str, bytes]) -> Path:
    """Write a backup by hand, whose manifest nobody has checked."""
    members = [{"name": name, "size": len(raw), "sha256": sha256(raw).hexdigest()} for name, raw in files.items()]
    manifest = {**_MANIFEST, "members": members}
    return write_tar(
        path, [TarEntry(MANIFEST, json.dumps(manifest).encode()), *(TarEntry(*file) for file in files.items())]
    )


@pytest.mark.parametrize(
    "config",
    ['ledger_url = "sqlite:///relative.sqlite"', 'ledger_url = "sqlite:////a\\u0000b"', "ledger_url = 5"],
)
def test_a_ledger_that_the_settings_name_in_no_place_is_refused(old: Path, tmp_path: Path, config: str) -> None:
    content = {LEDGER: (old / "ledger.sqlite").read_bytes(), CONFIG: config.encode()}
    with pytest.raises(ConfigError, match="the backup's settings"):
        restore(write_backup(tmp_path / "b", content, revision=HEAD_REVISION), tmp_path / "new")
    assert files_in(tmp_path / "new") == {"run/lock"}


def test_settings_that_nothing_can_read_keep_nobody_from_the_ledger(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("a = " + "[" * 100_000)
    assert ledger_url_of(home_at(tmp_path)) == f"sqlite:///{tmp_path / 'ledger.sqlite'}"


def test_a_ledger_that_the_settings_have_elsewhere_is_not_replaced(old: Path, tmp_path: Path) -> None:
    elsewhere, new = tmp_path / "elsewhere" / "ledger.sqlite", tmp_path / "new"
    content = {LEDGER: (old / "ledger.sqlite").read_bytes(), CONFIG: f'ledger_url = "sqlite:///{elsewhere}"'.encode()}
    path = write_backup(tmp_path / "b", content, revision=HEAD_REVISION)
    restore(path, new)
    assert verdict_of(open_ledger(f"sqlite:///{elsewhere}")).ok
    with pytest.raises(RefusedError, match="which is there already"):
        restore(path, tmp_path / "newer")
    assert files_in(tmp_path / "newer") == {"run/lock"}


@pytest.mark.parametrize("step", [1, 4, 7, 8])
def test_a_killed_restore_leaves_a_home_that_nothing_opens_and_the_next_one_ends_it(
    made: Path, tmp_path: Path, step: int
) -> None:
    new, steps = tmp_path / "new", iter(range(step, 0, -1))

    def progress(_label: str, _done: int, _total: int) -> None:
        if next(steps, 0) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    run_killed(lambda: restore_home(made, home_at(new), actor="ann", progress=progress))
    assert restore_mark(new).exists()
    with pytest.raises(LedgerError, match="incomplete") as caught:
        open_ledger(f"sqlite:///{new / 'ledger.sqlite'}")
    assert "squire restore" in caught.value.hint
    restore(made, new)
    assert files_in(new) == RESTORED
    assert verdict_of(open_ledger(f"sqlite:///{new / 'ledger.sqlite'}")).ok


@pytest.fixture
def regularly(old: Path) -> Iterator[Callable[[Settings], tuple[Path, ...]]]:
    ledger = Ledger(f"sqlite:///{old / 'ledger.sqlite'}")

    def make(settings: Settings) -> tuple[Path, ...]:
        made, removed = back_up_regularly(
            settings,
            ledger,
            config=old / "config.toml",
            with_archive=True,
            actor="ann",
            progress=ignore_progress,
        )
        assert made.path.is_file()
        return removed

    yield make
    with ledger.read() as tx:
        assert audit_page(tx)[0].action == "ledger.backup"
    ledger.close()


def test_the_folder_keeps_the_newest_and_nothing_half_made(
    regularly: Callable[[Settings], tuple[Path, ...]], tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    settings = Settings.model_validate({"backup": {"folder": folder, "keep": 2, "schedule": "17 3 * * *"}})
    later = datetime.now(UTC) + timedelta(days=2)  # the first was due meanwhile
    assert look_at_backups(settings, "17 3 * * *", now=later).reason == f"there is no backup in {folder} yet"
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    for days in (0, 1):
        (folder / backup_name(moment + timedelta(days=days))).write_text("older")
    half = folder / f".{backup_name(moment)}.abc"
    half.mkdir()
    (half / "ledger.sqlite").write_text("half")
    (folder / "letter.txt").write_text("stays")
    assert regularly(settings) == (folder / backup_name(moment),)
    newest, second = kept_backups(folder)
    assert second.made_at == moment + timedelta(days=1)
    assert {path.name for path in folder.iterdir()} == {newest.path.name, second.path.name, "letter.txt", ".lock"}
    with lock(folder / ".lock"), pytest.raises(RefusedError, match="another process makes a backup"):
        regularly(settings)
    at = newest.made_at
    assert look_at_backups(settings, "17 3 * * *", now=at + timedelta(hours=49)).level == "ok"
    late = look_at_backups(settings, "17 3 * * *", now=at + timedelta(hours=49, seconds=1))
    assert (late.level, late.reason) == ("degraded", f"the newest backup in {folder} is 49 hours old")
    assert "squire backup" in late.hint
