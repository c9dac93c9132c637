"""Runs the migrations. Only what creates or upgrades a schema imports this: Alembic is slow to import."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from squire_pipelines.domain import schema_rules
from squire_pipelines.errors import SchemaVersionError
from squire_pipelines.ledger import sessions

LOCK_TIMEOUT_S = 10
"""How long a migration on Postgres waits for others' transactions, while everybody else waits behind it."""

LONGEST_S = 3600
"""How long one statement of a migration may take on Postgres, such as an index of a large table."""


def config_for(connection: Connection | None) -> Config:
    """Return Alembic's configuration for our migrations on `connection`; None where no database is asked."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def oldest_program() -> str:
    """Return the revision of the oldest program that goes on with the newest schema.

    A migration that older programs can live with names the oldest of them as its `OLDEST_PROGRAM`.
    """
    scripts = ScriptDirectory.from_config(config_for(None)).walk_revisions()
    declared = [(script.revision, getattr(script.module, "OLDEST_PROGRAM", script.revision)) for script in scripts]
    return schema_rules.oldest_program(declared)


def upgrade(connection: Connection, *, ends_older: bool = False) -> None:
    """Bring the schema up to the newest revision, and write into the ledger which older programs may go on.

    Args:
        connection: Within the transaction of one process at a time.
        ends_older: Whether to do it also where older programs have the ledger open that could not go on.

    Raises:
        SchemaVersionError: It is no revision of ours.
        SchemaInUseError: Such programs have the ledger open; only Postgres knows them.
    """
    oldest = oldest_program()
    if connection.dialect.name == "postgresql":
        if not ends_older:
            sessions.refuse_older(connection, oldest)
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
        connection.execute(text(f"SET LOCAL statement_timeout = '{LONGEST_S}s'"))
    try:
        command.upgrade(config_for(connection), "head")
    except CommandError as error:
        hint = "restore a backup: `squire ledger check` shows what else is wrong"
        raise SchemaVersionError(f"the ledger's schema is none of Squire's: {error}", hint=hint) from error
    values = text("UPDATE alembic_version SET oldest_program = :oldest, oldest_program_of = version_num")
    connection.execute(values, {"oldest": oldest})
