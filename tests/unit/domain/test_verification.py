from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.tasks import Verification
from squire_pipelines.domain.verification import (
    MAX_CHECKS,
    CheckCommand,
    CommandResult,
    PlannedChecks,
    ReportedCheck,
    VerificationResult,
    asked_of_agent,
    describe_left_out,
    plan_checks,
    report,
    setup_key,
    setup_refusal,
)

COMMANDS = {"tests": "make test", "lint": "make lint", "build": None}
names = st.text(min_size=1, max_size=20)


def result(name: str, exit_code: int = 0, **more: object) -> CommandResult:
    return CommandResult.model_validate({"name": name, "exit_code": exit_code, "seconds": 1.5, **more})


def planned_named(*kinds: str) -> PlannedChecks:
    return PlannedChecks(tuple(CheckCommand(name=name, command="x") for name in kinds))


def test_a_tasks_wishes_become_the_repositorys_commands() -> None:
    asked_for = Verification(run_tests=True, run_lint=True, custom_checks=("python -m app --version", " "))
    planned = plan_checks(asked_for, COMMANDS)
    assert [(check.name, check.command) for check in planned.commands] == [
        ("tests", "make test"),
        ("lint", "make lint"),
        ("python -m app --version", "python -m app --version"),
    ]
    assert (planned.missing, planned.left_out) == ((), ())


def test_what_nobody_configured_is_named() -> None:
    assert plan_checks(Verification(run_tests=True, run_build=True), {}) == PlannedChecks(missing=("tests", "build"))
    assert plan_checks(Verification(), {}) == PlannedChecks(missing=("tests",))
    assert plan_checks(Verification(), {}, always=()) == PlannedChecks()


ALL_COMMANDS = {"tests": "make test", "lint": "make lint", "build": "make"}


@pytest.mark.parametrize(
    ("task", "rules", "run", "left_out"),
    [
        ({}, {}, ["tests", "lint", "build"], {}),
        ({"run_lint": False}, {}, ["tests", "build"], {"lint": "task"}),
        ({"run_tests": False, "run_lint": False, "run_build": False}, {}, [], dict.fromkeys(ALL_COMMANDS, "task")),
        ({}, {"always": ("tests",)}, ["tests"], {"lint": "settings", "build": "settings"}),
        ({"run_build": True}, {"always": ()}, ["build"], {"tests": "settings", "lint": "settings"}),
        ({"run_lint": False, "run_tests": True}, {"always": ()}, ["tests"], {"lint": "task", "build": "settings"}),
        ({"custom_checks": ("true",)}, {"enabled": False}, [], dict.fromkeys([*ALL_COMMANDS, "true"], "off")),
    ],
)
def test_what_is_configured_runs_unless_the_task_or_the_settings_leave_it_out(
    task: dict[str, Any], rules: dict[str, Any], run: list[str], left_out: dict[str, str]
) -> None:
    planned = plan_checks(Verification(**task), ALL_COMMANDS, **rules)
    assert [check.name for check in planned.commands] == run
    assert {check.name: check.by for check in planned.left_out} == left_out
    assert all(f"{name} was left out: " in describe_left_out(planned.left_out) for name in left_out)


@pytest.mark.parametrize(
    ("task", "asked"),
    [
        ({}, (True, True, False)),
        ({"run_lint": False, "run_build": True}, (True, False, True)),
        ({"run_tests": False}, (False, True, False)),
    ],
)
def test_an_agent_is_asked_to_run_what_will_be_run(task: dict[str, Any], asked: tuple[bool, ...]) -> None:
    verification = Verification(**task)
    for_agent = asked_of_agent(verification, plan_checks(verification, COMMANDS))
    assert (for_agent.run_tests, for_agent.run_lint, for_agent.run_build) == asked


def test_an_agent_is_not_asked_for_tests_that_the_settings_leave_out() -> None:
    planned = plan_checks(Verification(), COMMANDS, always=("lint",))
    assert not asked_of_agent(Verification(), planned).run_tests
    assert asked_of_agent(Verification(), plan_checks(Verification(), {}, always=("lint",))).run_tests


def test_checks_have_a_bound() -> None:
    planned = plan_checks(Verification(custom_checks=tuple(f"true {n}" for n in range(99))), {})
    assert len(planned.commands) == MAX_CHECKS
    assert planned.left_out[0].name == f"true {MAX_CHECKS}"
    assert {check.by for check in planned.left_out} == {"bound"}


def test_a_passed_check_tells_its_time_and_a_failed_one_its_last_words() -> None:
    assert result("tests").detail == "1.5 s"
    assert result("tests", 2, tail=("one", "boom", "  ")).detail == "exit code 2: boom"
    assert result("tests", 137, timed_out=True).detail == "timed out after 2 s"


def test_a_check_that_timed_out_has_not_passed_whatever_its_code() -> None:
    assert not result("tests", 0, timed_out=True).passed


@given(st.lists(names, min_size=1, max_size=5, unique=True), st.data())
def test_it_has_passed_only_when_every_planned_check_was_run_and_passed(
    planned: list[str], data: st.DataObject
) -> None:
    codes = {name: data.draw(st.sampled_from([0, 1, None])) for name in planned}
    ran = tuple(result(name, code) for name, code in codes.items() if code is not None)
    outcome = report(VerificationResult(checks=ran), planned_named(*planned), "")
    assert outcome.passed is all(code == 0 for code in codes.values())
    assert len(outcome.checks) == len(planned)


def test_without_a_result_nothing_has_passed() -> None:
    outcome = report(None, planned_named("tests"), "the engine is gone")
    assert outcome.model_dump(mode="json") == {
        "passed": False,
        "message": "the engine is gone",
        "checks": [{"name": "tests", "passed": False, "detail": "not run"}],
        "left_out": [],
    }


def test_a_setup_that_failed_is_among_the_checks() -> None:
    broken = VerificationResult(setup=result("setup", 1, tail=("no such package",)))
    outcome = report(broken, planned_named("tests"), "")
    assert outcome.checks[0] == ReportedCheck(name="setup", passed=False, detail="exit code 1: no such package")


@given(st.lists(st.tuples(names, names), max_size=5), st.randoms())
def test_dependencies_are_the_same_for_the_same_lockfiles_in_any_order(
    lockfiles: list[tuple[str, str]], chance: object
) -> None:
    shuffled = list(lockfiles)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    keys = {
        setup_key("npm ci", "image", repository="acme/shop", base_sha="1" * 40, lockfiles=order)
        for order in (lockfiles, shuffled)
    }
    assert len(keys) == 1


def test_dependencies_differ_by_command_image_repository_commit_and_lockfiles() -> None:
    first: dict[str, Any] = {
        "setup": "npm ci",
        "image": "image",
        "repository": "acme/shop",
        "base_sha": "1" * 40,
        "lockfiles": [("a", "1"), ("b", "2")],
    }
    others: dict[str, Any] = {
        "setup": "npm i",
        "image": "other",
        "repository": "acme/web",
        "base_sha": "2" * 40,
        "lockfiles": [("a", "1 b"), ("2", "")],
    }
    keys = {setup_key(**first), *(setup_key(**first | {name: value}) for name, value in others.items())}
    assert len(keys) == 1 + len(others)


def test_a_refused_setup_names_some_of_what_was_touched_and_the_setting() -> None:
    sentence = setup_refusal([f"{number}/package.json" for number in range(9)])
    assert "`0/package.json`, `1/package.json`" in sentence
    assert "and 4 more" in sentence
    assert "verification.changed_setup_egress" in sentence
    assert "continues another" in setup_refusal([])
