"""The limits that an attempt's row keeps are those that its container has by the settings."""

from squire_pipelines.domain.container_limits import AppliedLimits
from squire_pipelines.sections.agents import LimitSettings


def test_every_limit_of_the_settings_is_kept() -> None:
    limits = LimitSettings()
    assert AppliedLimits.model_validate(limits.model_dump()).model_dump() == limits.model_dump()


def test_a_limit_that_is_not_known_is_left_out() -> None:
    assert AppliedLimits(cpus=2).model_dump(mode="json") == {"cpus": 2}
