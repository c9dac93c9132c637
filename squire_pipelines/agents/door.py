"""The door of an attempt: by it a container elsewhere gets its inputs, reaches the gateway and hands out its result.

It lives in the process that supervises the container, for as long as that does. It is for a container without mounts
of this machine, in which nothing can be executed from here: all connections begin there. Everything that comes is a
stranger's, also with the right token, which the agent can read: it opens this attempt's door and no other.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from squire_pipelines.agents.attempt_files import RESULT_FILE
from squire_pipelines.agents.door_inputs import InputArchive
from squire_pipelines.agents.door_listener import CHUNK_BYTES, ConnectionCutError, DoorListener, Stream, connect, pipe
from squire_pipelines.agents.door_wire import (
    DoorRefusal,
    Request,
    Verb,
    WrongPrefaceError,
    is_token,
    parse_file_line,
    proof_for,
)
from squire_pipelines.agents.hand_out import handed_out
from squire_pipelines.agents.model import AttemptInputs
from squire_pipelines.domain.door_addresses import DoorAddress
from squire_pipelines.errors import WorkspaceError
from squire_pipelines.files import open_atomically
from squire_pipelines.observability.logging import Component, get_logger

TOKEN_FILE = "/run/squire-door/token"  # noqa: S105 - a place, not a token
"""Where a container has the token by default."""

_CONNECT_S = 5.0
_log = get_logger(Component.AGENT)


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """What one container may hold and how long it may be silent.

    Args:
        connections: At once; the relay in the container has up to 64 to the gateway.
        outputs: Results that come in at once: each may fill this machine's disk up to its files' limits meanwhile.
        preface_s: For the first line.
        idle_s: Between two pieces of inputs or outputs.
        gateway_idle_s: Of a connection to the gateway on which nothing passes; the gateway ends calls by itself before.
        refusal_pause_s: Before a refusal is said.
    """

    connections: int = 96
    outputs: int = 4
    preface_s: float = 5.0
    idle_s: float = 60.0
    gateway_idle_s: float = 3600.0
    refusal_pause_s: float = 1.0


@dataclass(slots=True)
class DoorCounts:
    """What passed.

    Args:
        connections: With the right token.
        refused: With a wrong token or for another unit.
        inputs: Times that the inputs were sent, whole.
        files: Of results, taken.
    """

    connections: int = 0
    refused: int = 0
    inputs: int = 0
    files: int = 0


class DoorRegistry(Protocol):
    """Says to all workers where a unit's door is now. `execution.door_registry` has the ledger's."""

    def token_sha256(self, unit: str) -> str | None:
        """Return by what the token is known that an earlier supervisor gave the unit's container; None where none did.

        Raises LedgerError.
        """

    def register(self, unit: str, address: DoorAddress, token_sha256: str) -> None:
        """Say where the door is from now on, and which token opens it. Raises LeaseLostError, LedgerError."""

    def remove(self, unit: str) -> None:
        """Make the token void. Nothing where the attempt is another's by now, or the ledger is away."""


class DoorServer(DoorListener):
    """The door of one unit, open until the block ends.

    Args:
        inputs: Whose `in/` is sent, and whose `out/` gets what is handed out.
        token_sha256: By which the right token is known.
        gateway_socket: The gateway on this machine; None for an agent without one.
        host: By which other machines reach this one. Where it is an address of this machine, the door listens there
            alone, and else at all of them.
        limits: What the container may hold.
    """

    def __init__(
        self,
        inputs: AttemptInputs,
        token_sha256: str,
        *,
        gateway_socket: Path | None = None,
        host: str = "127.0.0.1",
        limits: DoorLimits = DoorLimits(),
    ) -> None:
        super().__init__(
            f"squire-door-{inputs.unit}",
            most=limits.connections,
            preface_s=limits.preface_s,
            pause_s=limits.refusal_pause_s,
        )
        self._inputs = inputs
        self._token_sha256 = token_sha256
        self._gateway = gateway_socket
        self._host = host
        self._limits = limits
        self._outputs = 0
        self.result_taken = threading.Event()
        """Set when `result.json`, which comes last, was taken: the result is here."""
        self.counts = DoorCounts()

    @property
    def address(self) -> DoorAddress:
        """Where other machines find it."""
        return DoorAddress(self._host, self.port)

    def bind(self) -> socket.socket:
        """See `DoorListener.bind`."""
        # A name may stand for loopback here, and for another address elsewhere.
        with contextlib.suppress(ValueError, OSError):  # a name, or an address in front of this machine
            family = socket.AF_INET6 if ipaddress.ip_address(self._host).version == 6 else socket.AF_INET  # noqa: PLR2004
            return socket.create_server((self._host, 0), family=family)
        return all_addresses(0)

    def __exit__(self, *error: object) -> None:
        """Close it, and log what passed."""
        super().__exit__(*error)
        _log.info("door.closed", attempt=self._inputs.attempt_id, unit=self._inputs.unit, **asdict(self.counts))

    async def connection(self, stream: Stream) -> None:
        """See `DoorListener.connection`."""
        preface = await self.read_preface(stream)
        if preface is None:
            return
        request = preface.request
        if request.unit != self._inputs.unit:
            # A container may come to an address that was another door's before: it tries again.
            self.counts.refused += 1
            self.note("door.unit_wrong", stream, unit=request.unit)
            await self.turn_away(stream, DoorRefusal.AWAY)
            return
        if preface.is_routed:
            proof = proof_for(preface, self.address, self._token_sha256)
            is_right = proof is not None
        else:
            proof, is_right = None, is_token(preface.credential, self._token_sha256)
        if not is_right:
            self.counts.refused += 1
            self.note("door.token_wrong", stream, unit=request.unit)
            await self.turn_away(stream, DoorRefusal.REFUSED)
            return
        self.counts.connections += 1
        if proof is not None:
            await stream.write(f"proof {proof}\n".encode("ascii"), self._limits.preface_s)
        await self._serve_known(stream, request)

    async def _serve_known(self, stream: Stream, request: Request) -> None:
        match request.verb:
            case Verb.INPUTS:
                await self._send_inputs(stream)
            case Verb.OUTPUT:
                await self._take_result(stream)
            case Verb.GATEWAY:
                await self._reach_gateway(stream)

    async def _send_inputs(self, stream: Stream) -> None:
        try:
            archive = InputArchive(self._inputs.folder.inbox)
        except WorkspaceError as error:
            _log.warning("door.inputs_unreadable", attempt=self._inputs.attempt_id, reason=error.message)
            await stream.refuse(DoorRefusal.FAILED, self._limits.preface_s)
            return
        await stream.write(f"ok {archive.size}\n".encode("ascii"), self._limits.idle_s)
        for chunk in archive.chunks():
            await stream.write(chunk, self._limits.idle_s)
        self.counts.inputs += 1

    async def _take_result(self, stream: Stream) -> None:
        """Take the files of a result in one connection, so that all of them are here when the last one is."""
        if self._outputs >= self._limits.outputs:
            await stream.refuse(DoorRefusal.BUSY, self._limits.preface_s)
            return
        self._outputs += 1
        try:
            most = dict(handed_out(self._inputs))
            await stream.write(f"ok {' '.join(most)}\n".encode("ascii"), self._limits.idle_s)
            for _ in most:
                name, size = parse_file_line(await stream.read_line(self._limits.idle_s))
                if name not in most:
                    await stream.refuse(DoorRefusal.NAME, self._limits.preface_s)
                    return
                # One that is too long is cut after a byte too many, so that whoever reads it says why it is refused.
                await self._take_file(stream, name, min(size, most[name] + 1))
                if name == RESULT_FILE:  # nothing follows it
                    return
        except WrongPrefaceError as error:
            raise ConnectionCutError(str(error)) from error
        finally:
            self._outputs -= 1

    async def _take_file(self, stream: Stream, name: str, size: int) -> None:
        with open_atomically(self._inputs.folder.out / name, durable=False) as file:
            await stream.write(f"ok {size}\n".encode("ascii"), self._limits.idle_s)
            left = size
            while left:
                chunk = await stream.read(min(CHUNK_BYTES, left), self._limits.idle_s)
                if not chunk:
                    raise ConnectionCutError(f"{size - left} of {size} bytes of {name} came")
                file.write(chunk)
                left -= len(chunk)
        self.counts.files += 1
        if name == RESULT_FILE:
            self.result_taken.set()
        await stream.write(b"done\n", self._limits.idle_s)

    async def _reach_gateway(self, stream: Stream) -> None:
        if self._gateway is None:
            await stream.refuse(DoorRefusal.GATEWAY, self._limits.preface_s)
            return
        try:
            gateway = await connect(asyncio.open_unix_connection(str(self._gateway), limit=CHUNK_BYTES), _CONNECT_S)
        except (OSError, TimeoutError):
            await stream.refuse(DoorRefusal.GATEWAY, self._limits.preface_s)
            return
        with contextlib.closing(gateway):
            await stream.write(b"ok\n", self._limits.idle_s)
            await pipe(stream, gateway, idle_s=self._limits.gateway_idle_s)


def all_addresses(port: int, *, reuse_port: bool = False) -> socket.socket:
    """Return a socket that listens at a port of all addresses of this machine; 0 is any free one. Raises OSError."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, reuse_port=reuse_port)
    return socket.create_server(("", port), reuse_port=reuse_port)


def door_environment(inputs: AttemptInputs, door: str, token_file: str = TOKEN_FILE) -> dict[str, str]:
    """Return what a container's environment says of its door.

    Args:
        inputs: The attempt.
        door: What the container connects to, `host:port`: the router's address, or the door's own.
        token_file: The file in the container that has the token.
    """
    return {"SQUIRE_DOOR": door, "SQUIRE_DOOR_UNIT": inputs.unit, "SQUIRE_DOOR_TOKEN_FILE": token_file}
