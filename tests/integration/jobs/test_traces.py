"""Every line that a run causes has its trace id, whichever library logs it; at `debug` each request is one."""

import io

import pytest

from squire_pipelines import tags
from squire_pipelines.observability.logging import LEVEL_VARIABLE
from tests.support.logs import lines
from tests.support.pipeline import LEDGERLIB, QUIET, TRACE, Pipeline

OPS = {"collect": "collect_signals", "plan": "plan_tasks"}


@pytest.fixture
def debugged(pipeline: Pipeline, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setenv(LEVEL_VARIABLE, "debug")
    pipeline.instance.add_dynamic_partitions("repositories", [QUIET, LEDGERLIB])
    return stream


@pytest.mark.slow
@pytest.mark.parametrize("job", sorted(OPS))
def test_each_request_to_github_within_a_run_names_its_trace_and_its_repository(
    pipeline: Pipeline, debugged: io.StringIO, job: str
) -> None:
    config = {"ops": {OPS[job]: {"config": {"repositories": [QUIET, LEDGERLIB]}}}}
    pipeline.run(job, config=config, tags={tags.TRACE: TRACE}, partition_key=QUIET)
    requests = [line for line in lines(debugged) if line["event"] == "github.request"]
    assert {line["trace_id"] for line in requests} == {TRACE}
    about_one = [line for line in requests if "repository" in line]
    assert {line["repository"] for line in about_one} == {QUIET, LEDGERLIB}
    # The look at what has changed asks about all repositories at once.
    assert len(requests) - len(about_one) == (1 if job == "collect" else 0)
    # The log of a failed check lies on another host.
    assert {line["status"] for line in requests} <= ({200, 302} if job == "collect" else {200})


@pytest.mark.slow
def test_an_attempt_logs_each_git_command_with_its_trace(pipeline: Pipeline, debugged: io.StringIO) -> None:
    attempt = pipeline.attempt(LEDGERLIB)
    pipeline.agent_run(attempt)
    commands = [line for line in lines(debugged) if line["event"] == "git.ran"]
    assert {line["trace_id"] for line in commands} == {attempt.trace_id}
    assert {"push", "bundle"} <= {line["command"] for line in commands}
