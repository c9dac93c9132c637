"""Who else has a ledger on Postgres open, by the name that each connection of Squire's gives the server."""

from sqlalchemy import Connection, text

from squire_pipelines.errors import RefusedError
from squire_pipelines.ledger.columns import metadata

NAME = "squire"
"""The name of Squire's connections, unless the ledger's URL gives another (`application_name`)."""

_MAX_NAMED = 5


def lock_tables(connection: Connection) -> None:
    """Keep everybody from writing to the ledger until the transaction ends. Raises RefusedError as `refuse_others`."""
    refuse_others(connection)  # first: who writes on and on would be waited for
    names = ", ".join(table.name for table in metadata.sorted_tables)
    connection.execute(text(f"LOCK TABLE {names}, alembic_version IN EXCLUSIVE MODE"))
    refuse_others(connection)


def refuse_others(connection: Connection) -> None:
    """Raise RefusedError where another connection of Squire's has the database open."""
    query = text(
        "SELECT coalesce(client_hostname, host(client_addr), 'this machine') FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = :name"
    )
    connection.execute(text("SELECT pg_stat_clear_snapshot()"))  # else a transaction sees what it saw at first
    hosts = connection.execute(query, {"name": NAME}).scalars().all()
    if hosts:
        named = ", ".join(sorted(set(hosts))[:_MAX_NAMED])
        raise RefusedError(
            f"Squire has the ledger open {len(hosts)} times, from {named}",
            hint="stop Squire on all machines (`squire dev`, workers, receivers, boards), then try again",
        )
