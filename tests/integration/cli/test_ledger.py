from squire_pipelines.domain.endings import Cause
from tests.support.cli import Books, Squire


def test_a_sound_ledger_is_ok_and_counted(squire: Squire, books: Books) -> None:
    books.ended(Cause.COMPLETED)
    assert squire.ok("ledger", "check").startswith("ok: ")
    found = squire.json("ledger", "check")
    assert (found["ok"], found["rows"]["tasks"], found["rows"]["attempts"]) == (True, 1, 1)


def test_a_reference_into_nothing_is_found(squire: Squire, books: Books) -> None:
    books.ended(Cause.COMPLETED)
    connection = books.ledger.engine.raw_connection()
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("UPDATE attempts SET task_id = 'tnone'")
    connection.commit()
    connection.close()
    result = squire("ledger", "check")
    assert result.exit_code == 1
    assert "attempts: row 1 refers to a row of tasks that is not there" in result.stdout
    assert squire("ledger", "check", "--json").exit_code == 1


def test_a_damaged_file_is_told_with_the_next_step(squire: Squire, books: Books) -> None:
    for number in range(40):
        books.task(f"Task {number}")
    books.ledger.close()
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


def test_another_schema_is_told(squire: Squire, books: Books) -> None:
    with books.ledger.write() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "has schema 9999" in squire.fails(3, "ledger", "check")
    with books.ledger.write() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    result = squire("ledger", "check")
    assert result.exit_code == 1
    assert "the schema is 0000" in result.stdout
