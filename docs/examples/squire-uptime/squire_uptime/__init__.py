"""A reader of what an uptime monitor delivers: `{"monitor": "shop", "status": "down", "reason": "HTTP 502"}`.

In the settings:

    [hooks.uptime]
    projects = { shop = "acme/shop" }

The monitor posts to /hooks/uptime, and signs with the secret hook-uptime-key.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from squire_pipelines.domain.hook_schemes import HmacScheme
from squire_pipelines.sources.hook_protocol import HookContext, HookFact


class UptimeHook:
    """Reads one change of one monitor."""

    name = "uptime"
    scheme = HmacScheme(header="X-Uptime-Signature", prefix="sha256=", id_header="X-Uptime-Delivery")

    def read(self, payload: Mapping[str, Any], context: HookContext) -> Iterator[HookFact]:
        """Yield a fact while a monitor is down, and its end when it is up. An error sets it aside."""
        monitor = str(payload["monitor"])
        repository = context.projects.get(monitor)
        if repository is None:
            return  # a monitor that is no business of Squire's
        yield HookFact(
            repository=repository,
            key=f"monitor/{monitor}",
            title=f"{monitor} is down",
            body=str(payload.get("reason", ""))[:20_000],
            state="open" if payload["status"] == "down" else "closed",
            severity="critical",
        )
