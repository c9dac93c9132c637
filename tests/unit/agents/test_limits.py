"""Which limits an attempt gets."""

import pytest
from pydantic import ValidationError

from squire_pipelines.agents.limits import check_machine, effective_limits, with_output
from squire_pipelines.domain.container_limits import TaskLimits
from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.agents import AgentSettings, LimitSettings

GIB = 2**30


def agent(**values: object) -> AgentSettings:
    return AgentSettings.model_validate(values)


def test_without_a_wish_the_repositorys_limits_hold() -> None:
    assert effective_limits(agent()) == LimitSettings()


def test_a_task_may_ask_for_less() -> None:
    limits = effective_limits(agent(), TaskLimits(wall_clock_s=60, cpus=0.5))
    assert (limits.wall_clock_s, limits.cpus, limits.memory) == (60, 0.5, 4 * GIB)


def test_a_task_may_not_ask_for_more_unless_the_settings_permit_it() -> None:
    with pytest.raises(ConfigError, match=r"limits\.memory = 8589934592, and may have at most 4294967296") as caught:
        effective_limits(agent(), TaskLimits(memory=8 * GIB))
    assert "max_task_limits.memory" in caught.value.hint
    permitted = agent(max_task_limits={"memory": "8GiB"})
    assert effective_limits(permitted, TaskLimits(memory=8 * GIB)).memory == 8 * GIB
    with pytest.raises(ConfigError, match=r"limits\.cpus"):
        effective_limits(permitted, TaskLimits(cpus=3))


def test_a_ceiling_below_the_repositorys_limits_takes_nothing_from_them() -> None:
    assert effective_limits(agent(max_task_limits={"cpus": 1}), TaskLimits(cpus=2)).cpus == 2


def test_a_wish_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"workspace \+ home \+ tmp"):
        effective_limits(agent(), TaskLimits(memory=GIB))


def test_after_out_of_memory_there_is_more_if_the_settings_say_so() -> None:
    assert effective_limits(agent(), after_oom=True).memory == 4 * GIB
    assert effective_limits(agent(oom_retry_memory="8GiB"), after_oom=True).memory == 8 * GIB
    assert effective_limits(agent(oom_retry_memory="8GiB")).memory == 4 * GIB


@pytest.mark.parametrize(
    "wrong",
    [
        {"cpus": 0},
        {"cpus": -1},
        {"memory": 0},
        {"memory": -5},
        {"memory": "4 GB"},
        {"memory": "1MiB"},
        {"pids": 0},
        {"wall_clock_s": 0},
        {"wall_clock_s": float("inf")},
        {"log": 0},
        {"workspace": "4 TiB"},
        {"open_files": 0},
        {"grace_s": -1},
        {"memory": "1GiB"},
        {"swap": 1},
    ],
    ids=str,
)
def test_wrong_limits_are_refused_when_they_are_read(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LimitSettings.model_validate(wrong)


def test_more_memory_after_out_of_memory_must_be_more() -> None:
    with pytest.raises(ValidationError, match=r"not more than limits\.memory"):
        agent(oom_retry_memory="4GiB")


def test_limits_above_the_machines_name_value_bound_and_remedy() -> None:
    with pytest.raises(
        ConfigError, match=r"agent\.limits\.cpus = 8 is more than the engine's machine has: 2"
    ) as caught:
        check_machine(LimitSettings(cpus=8), cpus=2, memory_bytes=0)
    assert caught.value.hint == "set agent.limits.cpus to 2 or less"
    with pytest.raises(ConfigError, match=r"agent\.limits\.memory"):
        check_machine(LimitSettings(), cpus=2, memory_bytes=2 * GIB)
    check_machine(LimitSettings(), cpus=0, memory_bytes=0)


@pytest.mark.parametrize("output", [1, 100 * 2**20, 3 * GIB])
def test_a_larger_output_takes_no_memory_from_the_rest(output: int) -> None:
    before = LimitSettings()
    after = with_output(before, output)
    assert after.output == output
    assert after.memory - after.output >= before.memory - before.output
    assert LimitSettings.model_validate(after.model_dump()) == after
