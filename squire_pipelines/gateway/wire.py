"""What a supervisor and a gateway in a container of its own say to each other, each a line of JSON. No I/O.

Down goes one `GatewayConfig`, by standard input, since it has the key in it. Up come `GatewayStatus` lines, by standard
output.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.egress import EgressRules, HostCount
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits, Totals
from squire_pipelines.gateway.prices import Price

# In the gateway's container: a volume shared with the agent's container, and one of its own.
SOCKET_FOLDER = "/run/squire"
LOG_FOLDER = "/var/lib/squire/calls"
MAX_CONFIG_BYTES = 4 * 2**20
MAX_STATUS_BYTES = 2**18
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What one gateway serves; `server.Gateway.from_config` and `call_log.CallLog` take it.

    Args:
        every_s: How often it says what is spent.
    """

    attempt_id: str
    base_url: str | None
    api_key: str | None = field(repr=False)
    models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    prices: Mapping[str, Price] = field(default_factory=dict)
    before: Totals = field(default_factory=Totals)
    egress: EgressRules = field(default_factory=EgressRules)
    max_log_bytes: int = 8 * 2**20
    log_bodies: bool = False
    every_s: float = 2.0


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """How far a gateway is; `call` is one that is over."""

    totals: Totals = field(default_factory=Totals)
    exhausted: str | None = None
    unpriced: tuple[str, ...] = ()
    hosts: Mapping[str, HostCount] = field(default_factory=dict)
    call: GatewayCall | None = None


class Line(Generic[_T]):
    """One of the two as a line of JSON, and back."""

    def __init__(self, kind: type[_T], name: str) -> None:
        self._adapter = TypeAdapter(kind)
        self._name = name

    def write(self, value: _T) -> bytes:
        """The line, with its end."""
        return self._adapter.dump_json(value) + b"\n"

    def read(self, line: bytes) -> _T:
        """The value. Raises ConfigError; its message repeats nothing of the line, which may hold the key."""
        try:
            return self._adapter.validate_json(line)
        except ValidationError as error:
            places = ", ".join(".".join(map(str, each["loc"])) for each in error.errors(include_input=False)[:5])
            message = f"the gateway's {self._name} cannot be read: {places or 'no JSON'}"
        raise ConfigError(message, hint="the pipeline's image may be of another version: scripts/images.sh pipeline")


CONFIG_LINE = Line(GatewayConfig, "configuration")
STATUS_LINE = Line(GatewayStatus, "status")
