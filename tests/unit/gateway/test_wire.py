"""What goes to a gateway in a container and what comes back is the same on both sides, and no error shows the key."""

from datetime import UTC, datetime

import pytest

from squire_pipelines.agents.adapters.protocol import GatewaySeen
from squire_pipelines.domain.provider_faults import ProviderWords
from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.egress import EgressRules, HostCount
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits, GatewayTotals, Protocol
from squire_pipelines.gateway.prices import Price
from squire_pipelines.gateway.registry_routes import Registry
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.upstream_health import UpstreamUse
from squire_pipelines.gateway.wire import CONFIG_LINE, STATUS_LINE, GatewayConfig, GatewayStatus

KEY = "sk-" + "k" * 20
SEEN = GatewaySeen(3, 1, 1, 1, "insufficient_quota", 429, "Raise the quota.", 2, "provider_refused")
CONFIG = GatewayConfig(
    "t1-1",
    (
        Upstream(
            "http://127.0.0.1:9/v1",
            KEY,
            models=("small",),
            aliases={"tiny": "small"},
            prices={"small": Price(1.0, 2.0, cached=0.5)},
            protocol=Protocol.ANTHROPIC,
        ),
        Upstream("http://127.0.0.1:10/v1", KEY, words=ProviderWords("other", "other-key")),
    ),
    limits=GatewayLimits(max_tokens=5, max_usd=0.5),
    before=GatewayTotals(3, 0.1, 1),
    egress=EgressRules((Registry("node", "https://registry.example.com/", ("https://files.example.com/",)),)),
)


def test_a_configuration_arrives_as_it_was_given() -> None:
    line = CONFIG_LINE.write(CONFIG)
    assert line.count(b"\n") == 1
    assert CONFIG_LINE.read(line) == CONFIG
    assert KEY not in repr(CONFIG)


def test_a_status_arrives_as_it_was_given() -> None:
    call = GatewayCall("/v1/models\n", "small", 200, datetime.now(UTC), 0.5, input_tokens=1, call_id="a:1")
    status = GatewayStatus(
        GatewayTotals(1, 0.0, 1),
        "5 tokens",
        ("small",),
        {"registry.example.com": HostCount(1, 2, 3)},
        SEEN,
        call,
        {"first": UpstreamUse(3, 1, 2, "overloaded status 529", "It failed 2 times in a row.")},
    )
    line = STATUS_LINE.write(status)
    assert line.count(b"\n") == 1
    assert STATUS_LINE.read(line) == status


@pytest.mark.parametrize(
    "line", [b"", b"[", b"{}", CONFIG_LINE.write(CONFIG)[:-20], CONFIG_LINE.write(CONFIG)[:-2] + b',"x":{}}']
)
def test_a_line_that_cannot_be_read_is_refused_without_being_repeated(line: bytes) -> None:
    if line.endswith(b'"x":{}}'):
        assert CONFIG_LINE.read(line) == CONFIG  # a newer supervisor may say more
        return
    with pytest.raises(ConfigError, match="the gateway's configuration cannot be read") as caught:
        CONFIG_LINE.read(line)
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
