"""The router: what containers on other machines connect to, at one fixed port of every worker.

Containers know one address for their whole life, while the process that supervises them may die and another one go on.
So the router reads a connection's first line, looks up where the door of that unit is now, and passes the connection
on. It knows no attempt of its own, and keeps nothing: any worker's will do.
"""

import asyncio
import contextlib
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from squire_pipelines.agents.door import all_addresses
from squire_pipelines.agents.door_listener import CHUNK_BYTES, DoorListener, Stream, connect, pipe
from squire_pipelines.agents.door_wire import DoorRefusal, Preface, WrongPrefaceError, is_token, routed_line
from squire_pipelines.domain.door_addresses import RegisteredDoor
from squire_pipelines.errors import ConfigError, LedgerError, PortInUseError

_LOOKUPS_AT_ONCE = 4
_SPARE_FILES = 200
_MAX_CONNECTIONS = 2048
_MIN_CONNECTIONS = 64
_MAX_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class RouterLimits:
    """What containers may hold of one worker.

    Args:
        unknown_per_address: Connections of one address at once whose token has not been checked yet.
        per_unit: Connections of one unit at once.
        preface_s: For the first line, and for a door to prove itself.
        connect_s: For a door to be reached.
        idle_s: Of a connection on which nothing passes.
        refusal_pause_s: Before a refusal is said.
        remembered_s: For how long a door that was looked up is not looked up again.
    """

    unknown_per_address: int = 64
    per_unit: int = 96
    preface_s: float = 5.0
    connect_s: float = 3.0
    idle_s: float = 3600.0
    refusal_pause_s: float = 1.0
    remembered_s: float = 1.0


class DoorRouter(DoorListener):
    """The router of one worker, open until the block ends.

    Args:
        find: Returns the door that a unit has now, None when it has none. It may block, and raise LedgerError.
        port: At which it listens on all addresses; other workers on the same machine may listen there too.
        limits: What containers may hold.

    Raises:
        PortInUseError: Another program listens at the port.
        ConfigError: The port is not for us.
    """

    def __init__(
        self,
        find: Callable[[str], RegisteredDoor | None],
        *,
        port: int,
        limits: RouterLimits = RouterLimits(),
    ) -> None:
        super().__init__(
            "squire-door-router",
            most=_most_connections(),
            preface_s=limits.preface_s,
            pause_s=limits.refusal_pause_s,
        )
        self._find = find
        self._port = port
        self._limits = limits
        self._lookups = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="squire-door-lookup")
        self._remembered: dict[str, tuple[float, RegisteredDoor]] = {}
        self._unknown: Counter[str] = Counter()
        self._by_unit: Counter[str] = Counter()

    def bind(self) -> socket.socket:
        """See `DoorListener.bind`."""
        try:
            return all_addresses(self._port, reuse_port=True)
        except PermissionError as error:
            raise ConfigError(
                f"cannot listen on port {self._port}: {error.strerror}", hint="set kubernetes.door_port above 1023"
            ) from error
        except OSError as error:
            raise PortInUseError(
                f"port {self._port} is in use", hint="stop what listens there, or set kubernetes.door_port"
            ) from error

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def connection(self, stream: Stream) -> None:
        """Serve a connection, unless its address has too many of which nobody knows yet whose they are."""
        peer = str((stream.writer.get_extra_info("peername") or ("",))[0])
        if self._unknown[peer] >= self._limits.unknown_per_address:
            self.note("door.address_busy", stream)
            await stream.refuse(DoorRefusal.BUSY, self._limits.preface_s)
            return
        with _counted(self._unknown, peer) as leave:
            door = await self._known(stream)
            if door is None:
                return
            preface, registered = door
            leave()
            with _counted(self._by_unit, registered.unit):
                if self._by_unit[registered.unit] > self._limits.per_unit:
                    self.note("door.unit_busy", stream, unit=registered.unit)
                    await stream.refuse(DoorRefusal.BUSY, self._limits.preface_s)
                    return
                await self._pass_on(stream, preface, registered)

    async def _known(self, stream: Stream) -> tuple[Preface, RegisteredDoor] | None:
        """Return what a stranger wants, and the door that its token opens; None after it was turned away."""
        preface = await self.read_preface(stream)
        if preface is None:
            return None
        if preface.is_routed:  # another router's line: a container has a token
            await self.turn_away(stream, DoorRefusal.PREFACE)
            return None
        unit = preface.request.unit
        try:
            registered = await self._look_up(unit)
        except LedgerError as error:
            self.note("door.ledger_away", stream, reason=error.message[:200])
            await self.turn_away(stream, DoorRefusal.AWAY)
            return None
        if registered is None:
            self.note("door.unit_unknown", stream, unit=unit)
            await self.turn_away(stream, DoorRefusal.AWAY)
            return None
        if not is_token(preface.credential, registered.token_sha256):
            self._remembered.pop(unit, None)
            self.note("door.token_wrong", stream, unit=unit)
            await self.turn_away(stream, DoorRefusal.REFUSED)
            return None
        return preface, registered

    async def _look_up(self, unit: str) -> RegisteredDoor | None:
        now = time.monotonic()
        at, registered = self._remembered.get(unit, (0.0, None))
        if registered is not None and now - at < self._limits.remembered_s:
            return registered
        registered = await asyncio.get_running_loop().run_in_executor(self._lookups, self._find, unit)
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        if registered is not None:
            self._remembered[unit] = (now, registered)
        return registered

    async def _pass_on(self, stream: Stream, preface: Preface, registered: RegisteredDoor) -> None:
        address = registered.address
        line, proof = routed_line(preface.request, address, registered.token_sha256)
        try:
            opening = asyncio.open_connection(address.host, address.port, limit=CHUNK_BYTES)
            door = await connect(opening, self._limits.connect_s)
        except (OSError, TimeoutError):
            await self._turn_away_from(stream, registered, "door.unreachable")
            return
        with contextlib.closing(door):
            try:
                await door.write(line, self._limits.preface_s)
                answer = await door.read_line(self._limits.preface_s)
            except (OSError, TimeoutError, WrongPrefaceError):
                answer = b""
            if answer != f"proof {proof}\n".encode("ascii"):
                # Somebody else has the address by now, or the door is busy or another's.
                await self._turn_away_from(stream, registered, "door.unproven")
                return
            await pipe(stream, door, idle_s=self._limits.idle_s)

    async def _turn_away_from(self, stream: Stream, registered: RegisteredDoor, event: str) -> None:
        self._remembered.pop(registered.unit, None)
        self.note(event, stream, unit=registered.unit, door=str(registered.address))
        await self.turn_away(stream, DoorRefusal.AWAY)


@contextlib.contextmanager
def _counted(counts: Counter[str], key: str) -> Iterator[Callable[[], None]]:
    """Count one while the block lasts, or until what is yielded is called."""
    counts[key] += 1
    left = False

    def leave() -> None:
        nonlocal left
        if not left:
            left = True
            counts[key] -= 1
            if not counts[key]:
                del counts[key]

    try:
        yield leave
    finally:
        leave()


def _most_connections() -> int:
    """Return how many connections the process's limit of open files allows: each is passed on by another one."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_MIN_CONNECTIONS, min(_MAX_CONNECTIONS, (soft - _SPARE_FILES) // 2))
