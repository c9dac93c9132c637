"""What is read of failed checks, and what is told where it cannot be read."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from squire_pipelines.domain.authority import StartVerdict
from squire_pipelines.domain.evidence import MAX_CHECKS_PER_TASK, Absence, SignalEvidence
from squire_pipelines.domain.failures import FailureClass
from squire_pipelines.domain.signals import Collection, CollectionStatus, FailedCheck, Signal, Source
from squire_pipelines.errors import GitHubNotFoundError, GitHubUnavailableError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.evidence.checks import MAX_CHECKS_PER_READING, add_evidence, choose_checks
from squire_pipelines.secrets.redact import Redactor
from tests.support.github_json import FakeGitHub
from tests.support.signal_samples import failed_check

pytestmark = pytest.mark.anyio
ClientOf = Callable[..., GitHubClient]
AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SECRET = "hunter2-and-more-of-it"
BLOB = "https://logs.test/job/7"
JOB = {
    "name": "test (3.12)",
    "steps": [
        {"name": "Set up job", "conclusion": "success", "started_at": "2026-11-01T10:00:00Z", "completed_at": None},
        {
            "name": "Run tests",
            "conclusion": "failure",
            "started_at": "2026-11-01T10:00:30Z",
            "completed_at": "2026-11-01T10:00:40Z",
        },
    ],
}
LOG = (
    "\ufeff2026-11-01T10:00:00.0Z fetching, error: retried\n2026-11-01T10:00:31.0Z E   assert 1 == 2\n"
    f"2026-11-01T10:00:32.0Z with {SECRET[:5]}\x1b[1m{SECRET[5:]}\n"
)
NOTES = [
    {
        "path": ".github",
        "start_line": 1,
        "annotation_level": "failure",
        "message": "Process completed with exit code 1.",
    },
    {"path": "a.py", "start_line": 9, "annotation_level": "warning", "title": None, "message": f"see {SECRET}"},
    {"path": "b.py", "start_line": 3, "annotation_level": "failure", "title": "Sum", "message": "1 != 2"},
]


class Logs(FakeGitHub):
    """GitHub, and the host of its logs."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "logs.test":
            self.requests.append(request)
            played = self._rest[f"GET {request.url.path}"]
            assert isinstance(played, httpx.Response)
            return played if not played.is_closed else _streamed(played)
        return await super().handle_async_request(request)


def _streamed(played: httpx.Response) -> httpx.Response:
    return httpx.Response(played.status_code, headers=played.headers, stream=httpx.ByteStream(played.content))


def github(log: httpx.Response | None = None, **rest: httpx.Response) -> Logs:
    base = "GET /repos/o/r"
    answers = {
        f"{base}/actions/jobs/7": httpx.Response(200, json=JOB),
        f"{base}/actions/jobs/7/logs": httpx.Response(302, headers={"location": BLOB}),
        f"{base}/check-runs/7/annotations": httpx.Response(200, json=NOTES),
        "GET /job/7": log or httpx.Response(200, content=LOG.encode()),
    }
    return Logs(rest={**answers, **{f"{base}/{path.replace('__', '/')}": value for path, value in rest.items()}})


def check(number: int = 7, *, app: str = "github-actions", **fields: Any) -> Signal:
    signal = failed_check(f"test {number}", **fields)
    return signal.model_copy(update={"details": signal.details.model_copy(update={"check_run": number, "app": app})})


def reading(*signals: Signal) -> Collection:
    return Collection(
        repository="o/r",
        source=Source.FAILED_CI,
        status=CollectionStatus.FRESH,
        started_at=AT,
        ended_at=AT,
        signals=signals,
    )


async def read(client: GitHubClient, *signals: Signal, known: dict[str, SignalEvidence] | None = None) -> list[Signal]:
    redact = Redactor([SECRET]).redact
    (done,) = await add_evidence(client, [reading(*signals)], known or {}, redact=redact, timeout_s=9)
    return list(done.signals)


async def evidence_of(fake: Logs, client_of: ClientOf, signal: Signal | None = None) -> SignalEvidence:
    (done,) = await read(client_of(fake), signal or check())
    assert done.evidence is not None
    return done.evidence


@pytest.mark.parametrize("status", [200, 404])
async def test_names_and_paths_are_free_of_secrets_whether_or_not_there_is_a_log(
    client_of: ClientOf, status: int
) -> None:
    job = {"name": f"test {SECRET}", "steps": [{"name": f"Run with {SECRET}", "conclusion": "failure"}]}
    note = {"path": f"build/{SECRET}.log", "annotation_level": "failure", "title": SECRET, "message": SECRET}
    fake = github(
        httpx.Response(status, content=b"failed"),
        actions__jobs__7=httpx.Response(200, json=job),
        **{"check-runs__7__annotations": httpx.Response(200, json=[note])},
    )
    evidence = await evidence_of(fake, client_of)
    assert evidence.log is not None
    assert (evidence.log.job, evidence.log.step) == ("test [redacted]", "Run with [redacted]")
    assert SECRET not in evidence.model_dump_json()


async def test_report_of_the_check_is_kept_as_the_signal_has_it(client_of: ClientOf) -> None:
    evidence = await evidence_of(github(), client_of, check(evidence=SignalEvidence(report="2 of 9 failed")))
    assert evidence.report == "2 of 9 failed"


async def test_of_one_reading_so_many_checks_are_read_and_the_rest_with_the_next(client_of: ClientOf) -> None:
    heads = range(MAX_CHECKS_PER_READING // MAX_CHECKS_PER_TASK + 2)
    checks = [
        check(head * 100 + number, head_sha=f"{head:040x}") for head in heads for number in range(MAX_CHECKS_PER_TASK)
    ]
    answers = {"GET /repos/o/r/check-runs/7/annotations": httpx.Response(200, json=NOTES)}
    for signal in checks:
        assert isinstance(signal.details, FailedCheck)
        answers[f"GET /repos/o/r/actions/jobs/{signal.details.check_run}"] = httpx.Response(404)
        answers[f"GET /repos/o/r/check-runs/{signal.details.check_run}/annotations"] = httpx.Response(200, json=[])
    fake = Logs(rest=answers)
    first = await read(client_of(fake), *checks)
    known = {signal.ref: signal.evidence for signal in first if signal.evidence is not None}
    assert len(known) == MAX_CHECKS_PER_READING == 40
    second = await read(client_of(fake), *checks, known=known)
    assert all(signal.evidence is not None for signal in second)


async def test_step_log_and_annotations_of_a_job_are_read_and_free_of_secrets(client_of: ClientOf) -> None:
    evidence = await evidence_of(github(), client_of)
    assert evidence.log is not None
    assert (evidence.log.job, evidence.log.step, evidence.log.absent) == ("test (3.12)", "Run tests", None)
    assert evidence.log.text == "fetching, error: retried\nE   assert 1 == 2\nwith [redacted]"
    assert [(note.path, note.line, note.level, note.title, note.message) for note in evidence.annotations] == [
        ("b.py", 3, "failure", "Sum", "1 != 2"),
        ("a.py", 9, "warning", "", "see [redacted]"),
    ]


async def test_host_of_the_logs_never_gets_the_token(client_of: ClientOf) -> None:
    fake = github()
    await evidence_of(fake, client_of)
    (download,) = [request for request in fake.requests if request.url.host == "logs.test"]
    others = [request for request in fake.requests if request.url.host != "logs.test"]
    assert not {"authorization", "cookie"} & set(download.headers)
    assert all("authorization" in request.headers for request in others)


@pytest.mark.parametrize(
    ("status", "absence"),
    [(404, Absence.EXPIRED), (410, Absence.EXPIRED), (403, Absence.FORBIDDEN), (502, Absence.UNAVAILABLE)],
)
async def test_log_that_cannot_be_read_is_absent_with_the_reason(
    client_of: ClientOf, status: int, absence: Absence
) -> None:
    gone = httpx.Response(status, json={"message": "no"})
    evidence = await evidence_of(github(actions__jobs__7__logs=gone), client_of)
    assert evidence.log is not None
    assert (evidence.log.absent, evidence.log.text, evidence.log.step) == (absence, "", "Run tests")
    assert len(evidence.annotations) == 2
    assert bool(evidence.source) is (absence is not Absence.UNAVAILABLE)  # read again only where that may help
    assert (await evidence_of(github(httpx.Response(404)), client_of)).log.absent is Absence.EXPIRED  # type: ignore[union-attr]
    assert (await evidence_of(github(httpx.Response(403)), client_of)).log.absent is Absence.UNAVAILABLE  # type: ignore[union-attr]


async def test_annotations_that_may_not_be_read_are_absent_and_the_log_is_there(client_of: ClientOf) -> None:
    denied = httpx.Response(403, json={"message": "Resource not accessible by personal access token"})
    evidence = await evidence_of(github(**{"check-runs__7__annotations": denied}), client_of)
    assert evidence.annotations_absent is Absence.FORBIDDEN
    assert evidence.log is not None
    assert evidence.log.text


async def test_check_of_another_app_has_no_job_and_is_not_asked_for_one(client_of: ClientOf) -> None:
    fake = github()
    evidence = await evidence_of(fake, client_of, check(app="some-ci"))
    assert evidence.log is None
    assert len(evidence.annotations) == 2
    assert [request.url.path for request in fake.requests] == ["/api/v3/repos/o/r/check-runs/7/annotations"]


async def test_known_evidence_of_the_same_run_is_not_read_again(client_of: ClientOf) -> None:
    first = await evidence_of(github(), client_of)
    fake = github()
    (again,) = await read(client_of(fake), check(), known={check().ref: first})
    assert again.evidence == first
    assert fake.requests == []
    newer = first.model_copy(update={"source": "check run 6"})
    (changed,) = await read(client_of(fake), check(), known={check().ref: newer})
    assert changed.evidence == first


async def test_log_says_that_the_infrastructure_failed(client_of: ClientOf) -> None:
    lost = httpx.Response(200, content=b"2026-11-01T10:00:33Z write error: No space left on device\n")
    (done,) = await read(client_of(github(lost)), check())
    assert isinstance(done.details, FailedCheck)
    assert (done.details.failure, done.details.failure_reason) == (
        FailureClass.INFRASTRUCTURE,
        "its runner had no space left",
    )
    (done,) = await read(client_of(github()), check())
    assert isinstance(done.details, FailedCheck)
    assert done.details.failure is FailureClass.CODE


def test_few_checks_of_each_head_are_chosen_and_the_default_branchs_first() -> None:
    of_pull = [check(number, pull_request=3) for number in range(10)]
    of_branch = [check(number + 100) for number in range(10)]
    status = failed_check("legacy")
    checks = choose_checks([*of_pull, status, *of_branch])
    assert checks == [*of_branch[: MAX_CHECKS_PER_TASK - 1], *of_pull[:MAX_CHECKS_PER_TASK]]


def test_what_is_held_is_chosen_last() -> None:
    of_stranger = check(1).model_copy(update={"verdict": StartVerdict(may_start=False, reason="so it is")})
    assert choose_checks([of_stranger, check(2, pull_request=3)]) == [check(2, pull_request=3), of_stranger]


async def test_what_is_not_read_in_time_or_within_the_limit_is_left_for_the_next_reading(client_of: ClientOf) -> None:
    limited = httpx.Response(
        403, headers={"retry-after": "60"}, json={"message": "You have exceeded a secondary rate limit"}
    )
    (done,) = await read(client_of(github(actions__jobs__7=limited)), check())
    assert done.evidence is None


async def test_download_follows_a_renamed_repository_and_refuses_an_unsafe_address(client_of: ClientOf) -> None:
    moved = httpx.Response(301, headers={"location": "https://github.test/api/v3/repositories/5/actions/jobs/7/logs"})
    to_the_file = httpx.Response(302, headers={"location": BLOB})
    fake = Logs(
        rest={
            "GET /repos/o/r/actions/jobs/7/logs": moved,
            "GET /repositories/5/actions/jobs/7/logs": to_the_file,
            "GET /job/7": httpx.Response(200, content=LOG.encode()),
        }
    )
    taken: list[bytes] = []

    def take(chunk: bytes) -> bool:
        taken.append(chunk)
        return True

    await client_of(fake).download("/repos/o/r/actions/jobs/7/logs", take)
    assert b"".join(taken) == LOG.encode()
    for location in ("http://logs.test/job/7", "https://user:pw@logs.test/job/7", "file:///etc/passwd", "/job/7"):
        answer = httpx.Response(302, headers={"location": location})
        with pytest.raises(GitHubUnavailableError):
            await client_of(github(actions__jobs__7__logs=answer)).download("/repos/o/r/actions/jobs/7/logs", take)
    with pytest.raises(GitHubNotFoundError):
        await client_of(github(httpx.Response(404))).download("/repos/o/r/actions/jobs/7/logs", take)


async def test_download_ends_when_enough_was_taken_and_does_not_unpack(client_of: ClientOf) -> None:
    class Endless(httpx.AsyncByteStream):
        sent = 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                Endless.sent += 1
                yield b"x" * 65536

    await client_of(github(httpx.Response(200, stream=Endless()))).download(
        "/repos/o/r/actions/jobs/7/logs", lambda _: Endless.sent < 3
    )
    assert Endless.sent == 3
    packed = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Endless())
    with pytest.raises(GitHubUnavailableError):
        await client_of(github(packed)).download("/repos/o/r/actions/jobs/7/logs", lambda _: True)
