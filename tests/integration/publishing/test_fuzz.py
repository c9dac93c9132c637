"""The short version of tests/soak/test_border_fuzz.py, and a part of the attacks of `make bench-injection`."""

import pytest
from hypothesis import given, settings

from squire_pipelines.domain.change import ChangedFile, JudgedTask, Piece
from squire_pipelines.domain.policy import judge
from tests.support import injection, injection_model
from tests.support.border_fuzz import POLICY, fuzz_bundles
from tests.support.border_values import changed_files, judged_tasks
from tests.support.injection_run import Range
from tests.support.ordinary_changes import ordinary_changes
from tests.support.workshop import Workshop


def test_broken_bundles_are_named_and_nothing_is_written_elsewhere(workshop: Workshop) -> None:
    named = fuzz_bundles(workshop, count=120, seed=1)
    assert sum(named.values()) == 120
    assert {"truncated", "fsck"} <= named.keys()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(changed_files(), judged_tasks())
def test_any_change_is_judged(files: tuple[ChangedFile, ...], task: JudgedTask) -> None:
    verdict = judge(files, POLICY, task=task, pieces=[Piece.of_text("says", file.path) for file in files])
    assert verdict.decision is max((finding.decision for finding in verdict.findings), default=verdict.decision)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Range:
    return Range(tmp_path_factory.mktemp("attacks"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [case for case in injection.cases() if "200 MB" not in case.name and "MB" not in case.name][::89],
    ids=lambda case: case.name,
)
def test_an_agent_that_obeys_an_attacker_gets_nothing_past_the_border(place: Range, case: injection.Case) -> None:
    result = place.run(case)
    assert result.violations == ()


@pytest.mark.slow
def test_an_agent_that_sends_what_it_has_sends_it_to_nobody_but_its_model() -> None:
    leaks = {sending.name: violations for sending, _, violations in injection_model.run() if violations}
    assert leaks == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "path", "content"), list(ordinary_changes())[::24], ids=[name for name, _, _ in ordinary_changes()][::24]
)
def test_an_ordinary_change_is_not_held(place: Range, name: str, path: str, content: str | bytes) -> None:
    assert place.run_ordinary(path, content) == (), name


def test_there_are_as_many_cases_as_the_benchmark_promises() -> None:
    assert len(injection.cases()) >= 1200
    assert {case.channel for case in injection.cases()} == set(injection.CHANNELS)
    assert len(list(ordinary_changes())) >= 200
