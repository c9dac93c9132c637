"""The check of this machine's clock against GitHub's: an App's key is refused when they differ by a minute."""

import shutil
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime

import httpx

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis, Status
from squire_pipelines.cli.doctor.machine import in_container
from squire_pipelines.github.connections import tls_context
from squire_pipelines.secrets.lookup import locate_secret

NAME = "clock"
WARN_S = 5.0
FAIL_S = 60.0
"""GitHub takes a token of an App whose time is at most so far ahead:
https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app"""

_TIMEOUT_S = 10.0
_ROUNDING_S = 0.5  # the header has whole seconds


def check_clock(context: CliContext) -> Iterator[Diagnosis]:
    """Compare the clock with the header `Date` of GitHub's answers, where Squire has been given access to GitHub."""
    settings = context.settings
    if not settings.github.app_id and not locate_secret("github-token", settings.secret_sources)[0]:
        return
    try:
        offset_s = measure_offset(settings.github.api_url, timeout_s=min(settings.github.timeout_s, _TIMEOUT_S))
    except httpx.HTTPError as error:
        step = "check the network, and `github.api_url` in the settings"
        yield Diagnosis(NAME, "warn", f"not compared: GitHub does not answer ({type(error).__name__})", step)
        return
    yield judge_offset(offset_s, step=clock_step())


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
    try:
        server_time = parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None
    return (sent + received) / 2 - (server_time + _ROUNDING_S)


def judge_offset(offset_s: float | None, *, step: str) -> Diagnosis:
    """Return the line about a clock that is so many seconds ahead of GitHub's."""
    if offset_s is None:
        return Diagnosis(NAME, "ok", "not compared: the server's answer does not tell the time")
    difference = abs(offset_s)
    if difference < WARN_S:
        return Diagnosis(NAME, "ok", "as GitHub's, to a few seconds")
    status: Status = "warn" if difference < FAIL_S else "fail"
    direction = "ahead of" if offset_s > 0 else "behind"
    return Diagnosis(NAME, status, f"{difference:.0f} s {direction} GitHub's", step)


def clock_step(
    *, which: Callable[[str], str | None] = shutil.which, is_container: Callable[[], bool] = in_container
) -> str:
    """Return how the clock is set on this machine."""
    if is_container():
        return "set the clock of the machine that runs this container: containers have no clock of their own"
    if which("timedatectl"):
        return "run `timedatectl set-ntp true`"
    if which("chronyc"):
        return "run `chronyc makestep`"
    if which("sntp"):
        return "run `sudo sntp -sS time.apple.com`"
    return "set the clock, and have a time service keep it"
