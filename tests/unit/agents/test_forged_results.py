"""Whatever lies in `out/`: a run ends with a cause that has a name, and its times are our own."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from squire_pipelines.agents.endings import SupervisionResult
from squire_pipelines.agents.model import RunResult
from squire_pipelines.agents.run_recorder import RunRecorder
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.verification import CheckCommand, PlannedChecks, VerificationResult, report
from tests.support.attempts import make_inputs

GOOD: dict[str, Any] = {
    "schema": 1,
    "status": "changed",
    "agent_exit_code": 0,
    "head_sha": "b" * 40,
    "commits": 1,
    "uncommitted_committed": True,
    "error": {"code": "git_failed", "message": "no"},
    "timings": {
        "clone_s": 0.1,
        "agent_start": "2026-01-01T00:00:00Z",
        "agent_end": "2026-01-01T00:00:01",
        "bundle_s": 2,
    },
    "agent_version": "1.0",
}
STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            "2026-01-01T00:00:00",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "\x00",
            "\x1b]0;x\x07",
            "\u202e",
        ),
        *(
            -1,
            0,
            1e308,
            2**63,
            10**300,
            "1",
            "changed",
            "error",
            None,
            True,
            [],
            {},
            [[[[]]]],
            {"code": 1},
            {"clone_s": 1e999},
        ),
    ]
)
VALUES = STRANGE | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "message", "clone_s"]), inner),
    max_leaves=5,
)
FORGERIES = st.dictionaries(st.sampled_from(list(GOOD)), VALUES, min_size=1, max_size=4)
# What a run can end with when the agent's program ended with 0 and what it left is forged.
NAMED = {Cause.COMPLETED, Cause.NO_CHANGES, Cause.WORKSPACE_ERROR, Cause.AGENT_ERROR}


def end_with(folder: Path, text: str, *, started: bool = True) -> RunResult:
    inputs = make_inputs(folder, command=("true",))
    for path in (inputs.folder.out, inputs.folder.keep):
        path.mkdir(parents=True, exist_ok=True)
    (inputs.folder.out / "result.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    (inputs.folder.out / "result.bundle").write_bytes(b"a bundle")
    recorder = RunRecorder(inputs)
    if started:
        recorder.mark_started()
        recorder.sink.feed(b"squire: agent started\n")
    recorder.mark_ended()
    return recorder.finish(SupervisionResult(exit_code=0))


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FORGERIES)
def test_forged_result_ends_as_a_cause_with_a_name(tmp_path: Path, forgery: dict[str, Any]) -> None:
    run = end_with(tmp_path, json.dumps(GOOD | forgery))
    assert run.ending.cause in NAMED
    kept = run.ending.model_dump_json()
    assert "\\u0000" not in kept
    assert "\x1b" not in kept
    assert all(0 <= seconds <= run.timings["total_s"] + 1 for seconds in run.timings.values())


def test_times_are_our_own_whatever_the_worker_claims(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    claimed = {
        "clone_s": 1e9,
        "bundle_s": 1e9,
        "agent_start": "1999-01-01T00:00:00Z",
        "agent_end": "2099-01-01T00:00:00Z",
    }
    run = end_with(tmp_path, json.dumps(GOOD | {"timings": claimed}))
    assert run.agent_started_at is not None
    assert run.agent_ended_at is not None
    assert before <= run.agent_started_at <= run.agent_ended_at <= datetime.now(UTC)


def test_agent_that_never_started_has_no_times(tmp_path: Path) -> None:
    run = end_with(tmp_path, json.dumps(GOOD), started=False)
    assert (run.agent_started_at, run.agent_ended_at) == (None, None)


COMMAND = {"name": "tests", "exit_code": 0, "timed_out": False, "seconds": 1.5, "tail": ["ok"]}


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(list(COMMAND)), VALUES, max_size=3), st.booleans())
def test_forged_verification_is_refused_or_can_be_told(forgery: dict[str, Any], in_setup: bool) -> None:  # noqa: FBT001
    command = COMMAND | forgery
    text = json.dumps({"schema": 1, "setup": command if in_setup else None, "checks": [command]})
    try:
        result: VerificationResult | None = VerificationResult.model_validate_json(text, strict=True)
    except ValueError:
        result = None
    outcome = report(result, PlannedChecks((CheckCommand(name="tests", command="true"),)), "")
    assert "\\u0000" not in outcome.model_dump_json()
