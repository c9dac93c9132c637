"""The check of this machine's clock against GitHub's: an App's key is refused when they differ by a minute."""

from collections.abc import Iterator

import httpx

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis, Status
from squire_pipelines.domain.condition_rules import CLOCK_FAIL_S, CLOCK_WARN_S
from squire_pipelines.health.clock_offset import measure_offset
from squire_pipelines.health.machine_steps import clock_step
from squire_pipelines.secrets.lookup import locate_secret

NAME = "clock"
_TIMEOUT_S = 10.0


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


def judge_offset(offset_s: float | None, *, step: str) -> Diagnosis:
    """Return the line about a clock that is so many seconds ahead of GitHub's."""
    if offset_s is None:
        return Diagnosis(NAME, "ok", "not compared: the server's answer does not tell the time")
    difference = abs(offset_s)
    if difference < CLOCK_WARN_S:
        return Diagnosis(NAME, "ok", "as GitHub's, to a few seconds")
    status: Status = "warn" if difference < CLOCK_FAIL_S else "fail"
    direction = "ahead of" if offset_s > 0 else "behind"
    return Diagnosis(NAME, status, f"{difference:.0f} s {direction} GitHub's", step)
