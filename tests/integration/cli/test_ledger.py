import json
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from squire_pipelines.domain.endings import Cause
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.secrets.secret import Secret
from tests.support.audit_trail import unguarded
from tests.support.cli import SampleData, Squire
from tests.support.ledger_schema import set_schema, upgrade
from tests.support.secret_store_faults import cheap_store, passphrase


def test_a_sound_ledger_is_ok_and_counted(squire: Squire, samples: SampleData) -> None:
    samples.ended(Cause.COMPLETED)
    assert squire.ok("ledger", "check").startswith("ok: ")
    report = squire.json("ledger", "check")
    assert (report["ok"], report["rows"]["tasks"], report["rows"]["attempts"]) == (True, 1, 1)


def test_a_reference_into_nothing_is_found(squire: Squire, samples: SampleData) -> None:
    samples.ended(Cause.COMPLETED)
    connection = samples.ledger.engine.raw_connection()
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("UPDATE attempts SET task_id = 'tnone'")
    connection.commit()
    connection.close()
    result = squire("ledger", "check")
    assert result.exit_code == 1
    assert "attempts: row 1 refers to a row of tasks that is not there" in result.stdout
    assert squire("ledger", "check", "--json").exit_code == 1


def test_a_damaged_file_is_told_with_the_next_step(squire: Squire, samples: SampleData) -> None:
    for number in range(40):
        samples.task(f"Task {number}")
    samples.ledger.close()
    path = squire.home / "ledger.sqlite"
    data = bytearray(path.read_bytes())
    for start in range(4096 * 5, len(data), 4096):
        data[start : start + 4096] = b"\x55" * len(data[start : start + 4096])
    path.write_bytes(data)
    result = squire("ledger", "check")
    assert result.exit_code == 1
    assert "restore a backup" in result.stderr


def test_a_ledger_that_is_not_there_is_not_made(squire: Squire) -> None:
    assert "there is no ledger" in squire.fails(1, "ledger", "check")
    assert not (squire.home / "ledger.sqlite").exists()


def test_another_schema_is_told(squire: Squire, samples: SampleData) -> None:
    with samples.ledger.write() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "has schema 9999" in squire.fails(3, "ledger", "check")
    with samples.ledger.write() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    result = squire("ledger", "check")
    assert result.exit_code == 1
    assert "the schema is 0000" in result.stdout


def test_a_backup_is_taken_and_put_back(squire: Squire, samples: SampleData, tmp_path: Path) -> None:
    samples.ended(Cause.COMPLETED)
    file = tmp_path / "b.sqlite"
    assert squire.ok("ledger", "backup", str(file)).startswith(f"ok: {file}, schema ")
    assert "is there already" in squire.fails(5, "ledger", "backup", str(file))
    assert squire.json("ledger", "backup", str(tmp_path / "c.sqlite"))["tasks"] == 1
    samples.task("A later one")
    assert "nobody is there to ask" in squire.fails(5, "ledger", "restore", str(file))
    samples.ledger.close()
    assert "The ledger that was there before is " in squire.ok("ledger", "restore", str(file), "--yes")
    assert squire.json("ledger", "check")["rows"]["tasks"] == 1
    (entry,) = squire.json("audit", "list")
    assert (entry["action"], entry["subject"]) == ("ledger.restore", str(file))
    assert entry["trace_id"]


def test_the_audit_trail_lists_what_people_did(squire: Squire, samples: SampleData) -> None:
    assert squire.ok("audit", "list") == "Nothing was done yet.\n"
    assert squire.ok("audit", "list", "--action", "tasks.go") == "No action tasks.go was recorded.\n"
    narrow = squire.ok("audit", "list", "--action", "tasks.*", "--since", "1d")
    assert narrow == "No action tasks.* that the other options match was recorded.\n"
    assert squire.ok("audit", "list", "--actor", "ann") == "Nothing that was recorded matches the options.\n"
    one, two = samples.task("One"), samples.task("Two", approved=False)
    squire.ok("tasks", "cancel", one, "--reason", "no need")
    squire.ok("tasks", "approve", two)
    text = squire.ok("audit", "list")
    assert "tasks.cancel" in text
    assert "no need" in text
    (row,) = squire.json("audit", "list", "--action", "tasks.approve", "--since", "1h")
    assert row["subject"] == two
    assert row["actor"].startswith("cli:")
    assert "next page: squire audit list --limit 1 --before" in squire("audit", "list", "--limit", "1").stderr


def test_the_audit_trail_is_verified_and_exported(squire: Squire, samples: SampleData, tmp_path: Path) -> None:
    assert squire.ok("audit", "head") == "Nothing was done yet.\n"
    squire.ok("tasks", "cancel", samples.task("One"))
    assert squire.ok("audit", "verify").startswith("ok: 1 row sealed, the newest batch is number 1\n")
    kept = squire.ok("audit", "head").strip()
    file = tmp_path / "audit.jsonl"
    squire.ok("audit", "export", "--out", str(file))
    assert squire.json("audit", "list")[0]["action"] == "data.exported"
    assert squire.ok("audit", "export").count("\n") == file.read_text(encoding="ascii").count("\n") + 2
    assert "ok: 2 rows" in squire.ok("audit", "verify", str(file), "--expect", kept)
    lines = file.read_text(encoding="ascii").replace('"lacks_rows":false', '"lacks_rows":true').splitlines()
    rows = [number for number, line in enumerate(lines) if line.startswith('{"row"')]
    lines[-1] = lines[-1].replace('"rows":2', '"rows":1')
    lacking = tmp_path / "lacking.jsonl"
    lacking.write_text("\n".join(line for number, line in enumerate(lines) if number != rows[0]))
    assert "the export lacks 1 row" in squire("audit", "verify", str(lacking)).stderr
    assert "no batch has the expected digest" in squire.fails(1, "audit", "verify", "--expect", "0" * 63 + "1")
    file.write_text(file.read_text(encoding="ascii").replace("tasks.cancel", "tasks.reject"), encoding="ascii")
    assert "row 1 of batch 1 was altered" in squire.fails(1, "audit", "verify", str(file))
    with samples.ledger.write() as tx, unguarded(tx):
        tx.execute(text("DELETE FROM audit WHERE id = 2"))
    assert "row 2 of batch 2 was removed" in squire.fails(1, "audit", "verify")
    report = json.loads(squire("audit", "verify", "--json").stdout)
    assert (report["ok"], report["problems"][0]["row"]) == (False, 2)
    assert "is no export" in squire.fails(3, "audit", "verify", __file__)


@pytest.mark.slow
def test_the_first_edit_and_a_new_passphrase_are_in_the_audit_trail(
    squire: Squire, samples: SampleData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.task("One")
    squire.config("[dispatch]\nmax_concurrent = 3\n")
    monkeypatch.setenv("VISUAL", "sed -i s/3/4/")
    squire.ok("config", "edit")
    for name in ("old", "new"):
        (tmp_path / name).write_text(f"{passphrase().reveal()} {name}")
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE_FILE", str(tmp_path / "old"))
    cheap_store(squire.home / "secrets.sealed").create(Secret((tmp_path / "old").read_text()))
    squire.ok("secrets", "passphrase", "--new-file", str(tmp_path / "new"))
    (edited,) = squire.json("audit", "list", "--action", "settings.changed")
    assert (edited["subject"], edited["detail"]["how"]) == ("dispatch.max_concurrent", "command")
    assert [row["subject"] for row in squire.json("audit", "list", "--action", "secret.rotated")] == ["passphrase"]


def test_changed_settings_exports_and_backups_are_in_the_audit_trail(
    squire: Squire, samples: SampleData, tmp_path: Path
) -> None:
    samples.task("One")
    squire.ok("config", "set", "budgets.day.usd", "5")
    squire("history", "export", "s3://ann:obviously-no-password@bucket/folder?key=1")  # recorded before it is tried
    squire.ok("tasks", "export", str(tmp_path / "tasks.jsonl"))
    squire.ok("ledger", "backup", str(tmp_path / "backup.sqlite"))
    rows = {row["action"]: row for row in squire.json("audit", "list") if "tasks to" not in row["subject"]}
    assert set(rows) == {"settings.changed", "budget.overridden", "data.exported", "ledger.backup"}
    assert rows["settings.changed"]["detail"]["keys"] == ["budgets.day.usd"]
    assert rows["data.exported"]["subject"] == "the warehouse to s3://bucket/folder"
    assert all(row["trace_id"] and row["actor"].startswith("cli:") for row in rows.values())


def test_all_that_match_are_changed_in_one_go(squire: Squire, samples: SampleData) -> None:
    ids = [samples.task(f"Task {number}") for number in range(60)]
    assert "nobody is there to ask whether to cancel 60 tasks" in squire.fails(5, "tasks", "cancel", "--all")
    output = squire.ok("tasks", "cancel", "--all", "--status", "ready", "--yes")
    assert output == "60 tasks: cancelled\n"
    assert squire.ok("tasks", "retry", "--all", "--text", "'Task 7'", "--yes").startswith(f"{ids[7]}: ready")
    assert squire.ok("tasks", "approve", "--all") == "No task matches.\n"
    assert "--all" in squire.fails(2, "tasks", "cancel")
    assert "--all" in squire.fails(2, "tasks", "cancel", ids[0], "--all")
    assert "--all" in squire.fails(2, "tasks", "cancel", ids[0], "--kind", "manual")


def test_an_upgrade_is_a_step_of_its_own_and_says_who_goes_on(squire: Squire) -> None:
    path = squire.home / "ledger.sqlite"
    assert "would be brought from schema none" in squire.ok("ledger", "upgrade", "--dry-run")
    assert not path.exists()
    squire.home.mkdir()
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        upgrade(ledger, "0044")
    assert "would be brought from schema 0044" in squire.ok("ledger", "upgrade", "--dry-run")
    done = squire.json("ledger", "upgrade")
    assert (done["from"], done["to"], done["changed"]) == ("0044", HEAD_REVISION, True)
    assert squire.ok("ledger", "upgrade").startswith("ok: ")
    assert squire.json("ledger", "upgrade")["changed"] is False


def test_an_upgrade_of_a_ledger_that_was_upgraded_by_a_newer_squire_changes_nothing(
    squire: Squire, samples: SampleData
) -> None:
    with samples.ledger.write() as tx:
        set_schema(tx, "9999", oldest_program=HEAD_REVISION)
    assert f"Processes of schema {HEAD_REVISION} and newer go on" in squire.ok("ledger", "upgrade")
    with samples.ledger.write() as tx:
        set_schema(tx, "9999", oldest_program="9999")
    assert "install the newer Squire here" in squire.fails(3, "ledger", "upgrade")
