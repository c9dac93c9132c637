"""Reads what failed checks left: the step that failed, the log around its first error, annotations.

What is read is bounded: a few checks of each head, a window of each log, and a time for all of it. What cannot be read
is absent with its reason, and never a failure of the reading that found the check.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from squire_pipelines.domain.evidence import (
    MAX_ANNOTATIONS,
    MAX_CHECKS_PER_TASK,
    Absence,
    Annotation,
    JobLog,
    SignalEvidence,
)
from squire_pipelines.domain.failures import FAILED_CONCLUSIONS, FailureClass, classify_text
from squire_pipelines.domain.signals import Collection, FailedCheck, Signal, Source
from squire_pipelines.errors import (
    GitHubError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubRateLimitError,
    GitHubValidationError,
)
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.evidence.logs import LogExcerpt
from squire_pipelines.github.models import GitHubModel, Text, parse
from squire_pipelines.observability.logging import Component, get_logger

MAX_CHECKS_PER_READING = 40
"""Most checks of one repository whose evidence is read at a time; that of the others follows with the next reading."""

_AT_ONCE = 4
_ACTIONS = "github-actions"
_EXIT_CODE = "Process completed with exit code"
_log = get_logger(Component.GITHUB)


class _Step(GitHubModel):
    name: Text
    conclusion: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


class _Job(GitHubModel):
    name: Text
    steps: tuple[_Step, ...] | None = None

    @property
    def failed_step(self) -> _Step | None:
        """The first step that failed."""
        return next((step for step in self.steps or () if step.conclusion in FAILED_CONCLUSIONS), None)


class _Annotation(GitHubModel):
    path: Text = ""
    start_line: int | None = None
    end_line: int | None = None
    annotation_level: Text = ""
    title: Text = ""
    message: Text = ""


class _Annotations(GitHubModel):
    items: tuple[_Annotation, ...]


async def add_evidence(
    client: GitHubClient,
    readings: Sequence[Collection],
    known: Mapping[str, SignalEvidence],
    *,
    redact: Callable[[str], str],
    timeout_s: float,
) -> tuple[Collection, ...]:
    """Return the readings with the evidence of their failed checks.

    Args:
        client: Asks GitHub.
        readings: Of one repository; those of other sources are returned as they are.
        known: Evidence that was read before, by the signal's ref: what is known of a run is not read again.
        redact: Takes secrets out of a text.
        timeout_s: For all of it; what was not read by then is read with the next reading.
    """
    return tuple(
        [
            await _add_to(client, reading, known, redact, timeout_s) if reading.source is Source.FAILED_CI else reading
            for reading in readings
        ]
    )


async def _add_to(
    client: GitHubClient,
    reading: Collection,
    known: Mapping[str, SignalEvidence],
    redact: Callable[[str], str],
    timeout_s: float,
) -> Collection:
    evidence = {
        signal.ref: earlier
        for signal in reading.signals
        if (earlier := known.get(signal.ref)) is not None and earlier.source == _source_of(signal)
    }
    unread = [signal for signal in choose_checks(reading.signals) if signal.ref not in evidence]
    places = asyncio.Semaphore(_AT_ONCE)

    async def read(signal: Signal) -> None:
        async with places:
            evidence[signal.ref] = await read_check(client, signal, redact=redact)

    tasks = [asyncio.create_task(read(signal)) for signal in unread[:MAX_CHECKS_PER_READING]]
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*tasks)
    except (TimeoutError, GitHubError) as error:  # the limit of requests is reached: the rest is for the next reading
        _log.warning("evidence.cut_short", repository=reading.repository, reason=str(error) or type(error).__name__)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return reading.model_copy(
        update={"signals": tuple(_with(signal, evidence.get(signal.ref)) for signal in reading.signals)}
    )


def choose_checks(signals: Sequence[Signal]) -> list[Signal]:
    """Return the failed checks whose evidence is worth reading: a few of each head.

    Those of the default branch come first, and those that no task may be made of last.
    """
    checks = [(signal, signal.details) for signal in signals if isinstance(signal.details, FailedCheck)]
    checks.sort(key=lambda item: (_is_held(item[0]), not item[1].on_default_branch, item[1].from_fork))
    of_head: Counter[tuple[str, int | None]] = Counter()
    worth_reading = []
    for signal, check in checks:
        head = (check.head_sha, check.pull_request)
        of_head[head] += 1
        if check.check_run is not None and of_head[head] <= MAX_CHECKS_PER_TASK:
            worth_reading.append(signal)
    return worth_reading


def _is_held(signal: Signal) -> bool:
    return signal.verdict is not None and not signal.verdict.may_start


def _source_of(signal: Signal) -> str:
    check = signal.details
    return f"check run {check.check_run}" if isinstance(check, FailedCheck) and check.check_run is not None else ""


def _with(signal: Signal, evidence: SignalEvidence | None) -> Signal:
    """Return the signal with its evidence, and with what that says of the failure."""
    if evidence is None or not isinstance(signal.details, FailedCheck):
        return signal
    changes: dict[str, object] = {"evidence": evidence}
    if signal.details.failure is FailureClass.CODE:
        notes = [annotation.message for annotation in evidence.annotations]
        failure = classify_text("\n".join([*notes, evidence.log.text if evidence.log else ""]))
        update = {"failure": failure.kind, "failure_reason": failure.reason}
        changes["details"] = signal.details.model_copy(update=update)
    return signal.model_copy(update=changes)


async def read_check(client: GitHubClient, signal: Signal, *, redact: Callable[[str], str]) -> SignalEvidence:
    """Return the evidence of one failed check; what cannot be read is absent. Raises GitHubRateLimitError."""
    check = signal.details
    if not isinstance(check, FailedCheck) or check.check_run is None:
        return signal.evidence or SignalEvidence()
    log, log_is_final = None, True
    if check.app == _ACTIONS:
        log, log_is_final = await _read_log(client, signal.repository, check, redact)
    annotations, absence = await _read_annotations(client, signal.repository, check.check_run, redact)
    is_final = log_is_final and absence is not Absence.UNAVAILABLE
    return SignalEvidence(
        source=_source_of(signal) if is_final else "",
        log=log,
        annotations=annotations,
        annotations_absent=absence,
        report=signal.evidence.report if signal.evidence else "",  # redacted where the signal was made
    )


async def _read_log(
    client: GitHubClient, repository: str, check: FailedCheck, redact: Callable[[str], str]
) -> tuple[JobLog, bool]:
    """Return the log of a job, and whether reading it again would bring nothing new."""
    path = f"/repos/{repository}/actions/jobs/{check.check_run}"
    name, step_name = redact(check.check), None
    try:
        job = parse(_Job, await client.get(path), request=f"GET {path}")
        step = job.failed_step
        name, step_name = redact(job.name), redact(step.name) if step else None
        excerpt = LogExcerpt(redact, since=step.started_at if step else None, until=step.completed_at if step else None)
        await client.download(f"{path}/logs", excerpt.feed)
    except GitHubRateLimitError:
        raise
    except GitHubError as error:
        absence = _absence(error)
        log = JobLog(job=name, step=step_name, absent=absence)
        return log, absence is not Absence.UNAVAILABLE
    text, left_out = excerpt.result()
    absent = None if text else Absence.NONE
    return JobLog(job=name, step=step_name, text=text, lines_left_out=left_out, absent=absent), True


async def _read_annotations(
    client: GitHubClient, repository: str, check_run: int, redact: Callable[[str], str]
) -> tuple[tuple[Annotation, ...], Absence | None]:
    path = f"/repos/{repository}/check-runs/{check_run}/annotations"
    try:
        answer = await client.get(path, {"per_page": 50})
        items = parse(_Annotations, {"items": answer}, request=f"GET {path}").items
    except GitHubRateLimitError:
        raise
    except GitHubError as error:
        return (), _absence(error)
    notes = [item for item in items if not item.message.startswith(_EXIT_CODE)]
    notes.sort(key=lambda item: item.annotation_level != "failure")
    return tuple(
        Annotation(
            path=redact(item.path),
            line=item.start_line,
            end_line=item.end_line,
            level=item.annotation_level,
            title=redact(item.title),
            message=redact(item.message),
        )
        for item in notes[:MAX_ANNOTATIONS]
    ), None


def _absence(error: GitHubError) -> Absence:
    if isinstance(error, GitHubNotFoundError):
        return Absence.EXPIRED
    if isinstance(error, GitHubPermissionError):
        return Absence.FORBIDDEN
    return Absence.NONE if isinstance(error, GitHubValidationError) else Absence.UNAVAILABLE
