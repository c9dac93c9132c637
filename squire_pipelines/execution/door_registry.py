"""The doors of attempts in the ledger: written under the attempt's lease, read by every worker's router."""

import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from squire_pipelines.agents.door_router import DoorRouter
from squire_pipelines.domain.door_addresses import DoorAddress, RegisteredDoor
from squire_pipelines.errors import LeaseLostError, LedgerError
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.ledger import attempt_doors
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.settings.model import Settings

_LOOPBACK = "127.0.0.1"
_ANY_PORT = 9
_log = get_logger(Component.AGENT)


class LedgerDoorRegistry:
    """The doors of one attempt, as the run that has its lease writes them; see `agents.door.DoorRegistry`."""

    def __init__(self, leased: LeasedAttempt) -> None:
        self._leased = leased

    def token_sha256(self, unit: str) -> str | None:
        """See `DoorRegistry.token_sha256`."""
        with self._leased.ledger.read() as tx:
            door = attempt_doors.find(tx, unit)
        return None if door is None else door.token_sha256

    def register(self, unit: str, address: DoorAddress, token_sha256: str) -> None:
        """See `DoorRegistry.register`."""
        door = RegisteredDoor(unit, address, token_sha256)
        with self._leased.ledger.write() as tx:
            attempt_doors.register(tx, door, self._leased.attempt.id, self._leased.token)

    def remove(self, unit: str) -> None:
        """See `DoorRegistry.remove`."""
        try:
            with self._leased.ledger.write() as tx:
                attempt_doors.remove(tx, unit, self._leased.attempt.id, self._leased.token)
        except LeaseLostError:
            return
        except LedgerError as error:  # the attempt's end removes it too
            _log.warning("door.not_removed", attempt=self._leased.attempt.id, reason=error.message[:200])


@contextlib.contextmanager
def door_router(ledger: Ledger, settings: Settings) -> Iterator[DoorRouter | None]:
    """Listen for pods while the block runs; None where the settings name no door.

    Raises:
        PortInUseError: Another program listens at `kubernetes.door_port`.
        ConfigError: The port is not for us.
    """
    if settings.kubernetes.door is None:
        yield None
        return

    def find(unit: str) -> RegisteredDoor | None:
        with ledger.read() as tx:
            return attempt_doors.find(tx, unit)

    with DoorRouter(find, port=settings.kubernetes.door_port) as router:
        yield router


def worker_address(settings: Settings) -> str:
    """Return by which host the other workers reach this machine.

    That of the settings, which a pod gets from `status.podIP`. Else the address from which this machine reaches what
    all workers reach, the ledger's server or the broker: the kernel's choice of a route, for which nothing is sent.
    """
    if settings.kubernetes.worker_address is not None:
        return settings.kubernetes.worker_address
    for url in (settings.resolved_ledger_url, settings.workers.broker_url):
        host = urlsplit(url).hostname if url else None
        if host and (address := _own_address_towards(host)):
            return address
    return _LOOPBACK


def _own_address_towards(host: str) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, _ANY_PORT, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:  # no such name, or no way there: the next one may have one
        return None
