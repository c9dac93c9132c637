"""How far this machine's clock is from GitHub's, by the header `Date` of its answers."""

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

import httpx

from squire_pipelines.trusted_certificates import tls_context

_ROUNDING_S = 0.5  # the header has whole seconds


def measure_offset(
    api_url: str,
    *,
    timeout_s: float,
    now: Callable[[], float] = time.time,
    transport: httpx.BaseTransport | None = None,
) -> float | None:
    """Return how many seconds this clock is ahead of the server's; None when the server does not tell the time.

    Args:
        api_url: GitHub's; it is asked without a token, and any answer will do.
        timeout_s: For the answer.
        now: This machine's clock, in seconds since 1970.
        transport: Carries the request, for tests.

    Raises:
        httpx.HTTPError: Nothing answers.
    """
    with httpx.Client(verify=tls_context(), timeout=timeout_s, transport=transport) as client:
        sent = now()
        with client.stream("GET", f"{api_url.rstrip('/')}/rate_limit") as response:
            received = now()
    return offset_of(response.headers, sent=sent, received=received)


def offset_of(headers: Mapping[str, str], *, sent: float, received: float) -> float | None:
    """Return how many seconds this clock is ahead of the server's that has answered; None when it does not tell.

    Args:
        headers: Of the answer.
        sent: When the request was sent, by this clock, in seconds since 1970.
        received: When the answer came, likewise.
    """
    try:
        server_time = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
    return (sent + received) / 2 - (server_time + _ROUNDING_S)
