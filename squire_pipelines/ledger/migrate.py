"""Running Alembic's migrations on an open ledger, one process at a time."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from squire_pipelines.ledger.store import Ledger


def config_for(connection: Connection) -> Config:
    """Alembic's configuration for our migrations on `connection`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(ledger: Ledger, revision: str = "head") -> None:
    """Bring the schema up to `revision`, all in one transaction; a second starter waits and finds it done."""
    with ledger.rebuild() as transaction:
        command.upgrade(config_for(transaction.connection), revision)


def downgrade(ledger: Ledger, revision: str) -> None:
    """Take the schema down to `revision`, all in one transaction."""
    with ledger.rebuild() as transaction:
        command.downgrade(config_for(transaction.connection), revision)
