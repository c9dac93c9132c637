"""Who else has a ledger on Postgres open, by the name that each connection of Squire's gives the server."""

from sqlalchemy import Connection, text

from squire_pipelines.errors import ExitCode, LedgerError, RefusedError
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.columns import metadata

NAME = f"squire-{HEAD_REVISION}"
"""The name of this program's connections, unless the ledger's URL gives another (`application_name`)."""

_ANY = "^squire(-[0-9]+)?$"
"""What the names of all programs look like. Before revision 0047 they had no revision in them."""

_MAX_NAMED = 5


class SchemaInUseError(LedgerError):
    """The ledger is not upgraded: older processes have it open that could not go on with the newer schema."""

    code = "schema_in_use"
    exit_code = ExitCode.CONFIGURATION


def lock_tables(connection: Connection) -> None:
    """Keep everybody from writing to the ledger until the transaction ends. Raises RefusedError as `refuse_others`."""
    refuse_others(connection)  # first: who writes on and on would be waited for
    names = ", ".join(table.name for table in metadata.sorted_tables)
    connection.execute(text(f"LOCK TABLE {names}, alembic_version IN EXCLUSIVE MODE"))
    refuse_others(connection)


def refuse_others(connection: Connection) -> None:
    """Raise RefusedError where another connection of Squire's has the database open."""
    hosts = [host for host, _ in _others(connection)]
    if hosts:
        raise RefusedError(
            f"Squire has the ledger open {len(hosts)} times, from {_named(hosts)}",
            hint="stop Squire on all machines (`squire dev`, workers, receivers, boards), then try again",
        )


def refuse_older(connection: Connection, oldest: str) -> None:
    """Raise SchemaInUseError where a program older than the revision `oldest` has the database open."""
    older = [(host, revision) for host, revision in _others(connection) if revision < oldest]
    if older:
        raise SchemaInUseError(
            f"the ledger is not upgraded to schema {HEAD_REVISION}: processes of an older Squire have it open, from "
            f"{_named([host for host, _ in older])}, and could not go on with it",
            hint="stop them first; `squire ledger upgrade --ends-older` upgrades it all the same",
            context={"oldest_program": oldest},
        )


def _others(connection: Connection) -> list[tuple[str, str]]:
    """Return the host of each other connection of Squire's, and the revision of its program, empty before 0047."""
    query = text(
        "SELECT coalesce(client_hostname, host(client_addr), 'this machine'), substr(application_name, 8)"
        " FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name ~ :names"
    )
    connection.execute(text("SELECT pg_stat_clear_snapshot()"))  # else a transaction sees what it saw at first
    return [(host, revision) for host, revision in connection.execute(query, {"names": _ANY})]


def _named(hosts: list[str]) -> str:
    return ", ".join(sorted(set(hosts))[:_MAX_NAMED])
