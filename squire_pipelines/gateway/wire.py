"""What a supervisor and a gateway in a container of its own send each other, each a line of JSON. No I/O.

One `GatewayConfig` goes down by standard input, since it has the keys in it; `GatewayStatus` lines come up by standard
output. Both sides are of one version, so that the keys may change between versions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from squire_pipelines.agents.adapters.protocol import GatewaySeen
from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.egress import EgressRules, HostCount
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits, GatewayTotals
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.upstream_health import UpstreamUse

# In the gateway's container: a volume shared with the agent's container, and one of its own.
SOCKET_FOLDER = "/run/squire"
LOG_FOLDER = "/var/lib/squire/calls"
MAX_CONFIG_BYTES = 4 * 2**20
MAX_STATUS_BYTES = 2**18
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What one gateway serves, and within which limits.

    Args:
        attempt_id: Whose gateway it is; also begins the ids of its calls.
        upstreams: The providers of its model; the first is asked, and the next when it fails; empty for no model.
        web_search: Whether the provider may search the web for the agent.
        limits: The bounds and caps.
        before: What the attempt's earlier gateways have counted, for the caps.
        egress: The registries that may be read; none by default.
        max_log_bytes: See `call_log.CallLog`; also for `log_bodies`.
        every_s: How often a gateway in a container reports what is spent.
        trace_id: Stands on its log lines, as the next two do.
        task_id: The attempt's task.
        repository: Its repository.
        is_debugged: Whether a gateway in a container writes lines of the level debug.
    """

    attempt_id: str
    upstreams: tuple[Upstream, ...] = ()
    web_search: bool = False
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    before: GatewayTotals = field(default_factory=GatewayTotals)
    egress: EgressRules = field(default_factory=EgressRules)
    max_log_bytes: int = 8 * 2**20
    log_bodies: bool = False
    every_s: float = 2.0
    trace_id: str | None = None
    task_id: str | None = None
    repository: str | None = None
    is_debugged: bool = False


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """What a gateway has counted so far.

    Args:
        totals: What the attempt has used, calls under way included.
        exhausted: The cap that the attempt has met, in words; None while it has met none.
        unpriced: Models whose price nobody knows.
        hosts: What passed to and from each host of a registry.
        seen: What the agent's calls have come to.
        call: In a line of a gateway in a container, the call that has just ended.
        upstreams: What came of each provider's calls, by its name.
    """

    totals: GatewayTotals = field(default_factory=GatewayTotals)
    exhausted: str | None = None
    unpriced: tuple[str, ...] = ()
    hosts: Mapping[str, HostCount] = field(default_factory=dict)
    seen: GatewaySeen = field(default_factory=GatewaySeen)
    call: GatewayCall | None = None
    upstreams: Mapping[str, UpstreamUse] = field(default_factory=dict)


class Line(Generic[_T]):
    """Writes one of the two as a line of JSON, and reads it back."""

    def __init__(self, kind: type[_T], name: str) -> None:
        self._adapter = TypeAdapter(kind)
        self._name = name

    def write(self, value: _T) -> bytes:
        """Return the line, with its end."""
        return self._adapter.dump_json(value) + b"\n"

    def read(self, line: bytes) -> _T:
        """Return the value. Raises ConfigError; its message repeats nothing of the line, which may hold a key."""
        try:
            return self._adapter.validate_json(line)
        except ValidationError as error:
            fields = [".".join(map(str, entry["loc"])) for entry in error.errors(include_input=False)[:5]]
        raise ConfigError(  # outside of the handler, so that no cause shows the line
            f"the gateway's {self._name} cannot be read: {', '.join(fields) or 'no JSON'}",
            hint="the pipeline's image may be of another version: scripts/images.sh pipeline",
        )


CONFIG_LINE = Line(GatewayConfig, "configuration")
STATUS_LINE = Line(GatewayStatus, "status")
