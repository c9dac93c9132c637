"""`squire ledger`: whether the system of record is sound."""

import sqlite3
from dataclasses import dataclass

import click
from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError

from squire_pipelines.cli.context import App, emit_json, json_option, pass_app
from squire_pipelines.cli.lazy import LazyGroup, command
from squire_pipelines.cli.text import one_line
from squire_pipelines.errors import LedgerError, NotFoundError, SchemaVersionError
from squire_pipelines.ledger import tables
from squire_pipelines.ledger.store import HEAD_REVISION, Ledger, Transaction

MAX_PROBLEMS = 20
_COUNTED = ("tasks", "attempts", "plans", "signals", "deliveries", "outcomes")
ledger = LazyGroup(name="ledger", help="Check the system of record.")


@dataclass(frozen=True, slots=True)
class Soundness:
    """What a check of the ledger found; without `problems` it is sound."""

    place: str
    revision: str | None
    problems: tuple[str, ...]
    rows: dict[str, int]


def examine(url: str) -> Soundness:
    """Check the ledger at `url`, changing nothing.

    Raises:
        ConfigError: The URL is none.
        NotFoundError: There is no ledger yet.
        LedgerError: It does not answer, or is no database.
        SchemaVersionError: Its schema is newer than this code.
    """
    store = Ledger(url, busy_timeout_s=5)
    try:
        if store.is_sqlite and not store.path.exists():
            message = f"there is no ledger at {store.describe()} yet"
            raise NotFoundError(message, hint="`squire run` or `squire demo` makes one")
        return _examine(store)
    except (DatabaseError, sqlite3.DatabaseError) as error:
        message = f"the ledger {store.describe()} is damaged: {error}"
        raise LedgerError(message, hint="stop Squire, keep a copy of the file, restore a backup") from error
    finally:
        store.close()


def _examine(store: Ledger) -> Soundness:
    revision = store.revision()
    if revision is not None and revision > HEAD_REVISION:
        message = f"the ledger {store.describe()} has schema {revision}, this Squire knows {HEAD_REVISION}"
        raise SchemaVersionError(message, hint="install the newer Squire again")
    with store.read() as tx:
        problems = list(_sqlite_problems(tx)) if store.is_sqlite else []
        if revision != HEAD_REVISION:
            problems.append(f"the schema is {revision or 'missing'}, not {HEAD_REVISION}; the next start upgrades it")
            return Soundness(store.describe(), revision, tuple(problems), {})
        rows = {
            name: tx.execute(select(func.count()).select_from(tables.metadata.tables[name])).scalar_one()
            for name in _COUNTED
        }
    return Soundness(store.describe(), revision, tuple(problems), rows)


def _sqlite_problems(tx: Transaction) -> list[str]:
    found = tx.execute(text(f"PRAGMA integrity_check({MAX_PROBLEMS})")).scalars()
    problems = [one_line(str(line)) for line in found if line != "ok"]
    broken = tx.execute(text("PRAGMA foreign_key_check")).fetchmany(MAX_PROBLEMS)
    return problems + [f"{row[0]}: row {row[1]} refers to a row of {row[2]} that is not there" for row in broken]


@command("check", examples=("squire ledger check", "squire ledger check --json"))
@json_option
@pass_app
def check(app: App, *, as_json: bool) -> None:
    """Check that the ledger is whole and that its schema is the one that this Squire knows. Changes nothing."""
    found = examine(app.settings.resolved_ledger_url)
    if as_json:
        emit_json(
            {
                "ledger": found.place,
                "revision": found.revision,
                "ok": not found.problems,
                "problems": list(found.problems),
                "rows": found.rows,
            }
        )
    elif not found.problems:
        click.echo(f"ok: {found.place}, schema {found.revision}")
        click.echo(", ".join(f"{count} {name}" for name, count in found.rows.items()))
    if found.problems:
        if not as_json:
            for problem in found.problems:
                click.echo(problem)
            message = f"the ledger {found.place} has {len(found.problems)} problem(s)"
            raise LedgerError(message, hint="stop Squire, keep a copy of the file, restore a backup")
        click.get_current_context().exit(1)


ledger.add_command(check)
