"""Values of JSON columns, as this version and others wrote them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.domain.tasks import TaskContext, TaskSpec
from squire_pipelines.domain.timings import Timings
from squire_pipelines.domain.verification import ReportedCheck, VerificationReport
from squire_pipelines.ledger.stored_json import read_json

SPEC = {"key": "a", "title": "Fix it", "prompt": "Please.", "base_branch": "main"}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_an_empty_column_is_none() -> None:
    assert read_json(Evidence, None) is None


def test_what_was_dumped_is_read_as_it_was() -> None:
    ending = Ending(cause=Cause.LOST, message="gone", evidence=Evidence(exit_code=1, facts={"a": [1, {"b": None}]}))
    assert read_json(Ending, ending.model_dump(mode="json")) == ending


def test_a_key_of_another_version_is_left_out_wherever_it_is() -> None:
    stored = SPEC | {"mood": "good", "context": {"files_to_read": ["a.py"], "weather": "fine"}}
    assert read_json(TaskSpec, stored) == TaskSpec(**SPEC, context=TaskContext(files_to_read=("a.py",)))
    assert "mood" in stored, "the row itself is not touched"


def test_a_value_that_cannot_be_taken_is_left_out() -> None:
    stored = {"exit_code": "one", "oom_killed": True, "timings_s": {"agent_s": 2, "odd": "long"}}
    assert read_json(Evidence, stored) == Evidence(oom_killed=True, timings_s={"agent_s": 2})
    assert read_json(Timings, {"create_s": [], "pull_s": 3, "agent_s": 1}) == Timings(agent_s=1)


def test_a_task_of_an_earlier_version_reads_as_one_without_an_estimate() -> None:
    assert read_json(TaskSpec, SPEC) == TaskSpec(**SPEC, size=None, confidence_factors=(), evidence=())
    assert read_json(TaskSpec, SPEC | {"size": {"files": 2, "lines": "many"}}) == TaskSpec(**SPEC)


def test_an_odd_item_is_left_out_of_its_list_alone() -> None:
    good = {"name": "lint", "passed": True}
    stored = {"passed": False, "checks": ["odd", good, {"passed": "?"}, {}, good | {"seconds": 3}]}
    lint = ReportedCheck(name="lint", passed=True)
    assert read_json(VerificationReport, stored) == VerificationReport(passed=False, checks=(lint, lint))


@pytest.mark.parametrize("stored", [[], "text", 7, {"message": "no cause"}, {"cause": "bad luck", "message": "m"}])
def test_too_little_for_a_value_is_none(stored: Any) -> None:
    assert read_json(Ending, stored) is None


@given(json_values, st.sampled_from([Ending, Evidence, Timings, VerificationReport, TaskSpec]))
def test_no_value_makes_reading_fail(stored: Any, kind: type[Ending]) -> None:
    value = read_json(kind, stored)
    assert value is None or isinstance(value, kind)


@given(st.dictionaries(st.sampled_from([*Evidence.model_fields, "new"]), json_values))
def test_evidence_of_any_shape_is_evidence(stored: dict[str, Any]) -> None:
    assert isinstance(read_json(Evidence, stored), Evidence)
