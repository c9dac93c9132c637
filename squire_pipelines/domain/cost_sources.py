"""Whose figure of a call's cost counts: that which its provider states, or our own calculation. Pure."""

from enum import StrEnum
from urllib.parse import urlsplit


class CostSource(StrEnum):
    """Whose figure counts at a provider; `auto` believes those whose interface documents it as what they charge."""

    AUTO = "auto"
    STATED = "stated"
    CALCULATED = "calculated"


# https://openrouter.ai/docs/use-cases/usage-accounting, https://docs.x.ai/developers/cost-tracking,
# https://docs.perplexity.ai/api-reference/chat-completions-post: US dollars, or credits of one dollar.
_CHARGED_HOSTS = ("openrouter.ai", "x.ai", "perplexity.ai")


def is_stated(source: CostSource, base_url: str | None) -> bool:
    """Return whether the figure that a provider states counts before our own calculation."""
    if source is not CostSource.AUTO:
        return source is CostSource.STATED
    host = (urlsplit(base_url or "").hostname or "").lower()
    return any(host == charged or host.endswith(f".{charged}") for charged in _CHARGED_HOSTS)
