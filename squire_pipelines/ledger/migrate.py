"""Runs the migrations. Only what creates or upgrades a schema imports this: Alembic is slow to import."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from squire_pipelines.errors import SchemaVersionError


def config_for(connection: Connection) -> Config:
    """Return Alembic's configuration for our migrations on `connection`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Bring the schema up to the newest revision. Raises SchemaVersionError when it is no revision of ours."""
    try:
        command.upgrade(config_for(connection), "head")
    except CommandError as error:
        hint = "restore a backup: `squire ledger check` shows what else is wrong"
        raise SchemaVersionError(f"the ledger's schema is none of Squire's: {error}", hint=hint) from error
