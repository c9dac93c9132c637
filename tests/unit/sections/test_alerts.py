"""The section `[alerts]`."""

import pytest
from pydantic import ValidationError

from squire_pipelines.domain.alert_rules import DEFAULT_POLICIES, AlertRule
from squire_pipelines.sections.alerts import AlertSettings


@pytest.mark.parametrize("rule", AlertRule)
def test_only_rules_that_count_take_a_threshold(rule: AlertRule) -> None:
    table = {"rules": {rule: {"threshold": 5}}}
    if DEFAULT_POLICIES[rule].threshold is not None:
        assert AlertSettings.model_validate(table).policies[rule].threshold == 5
        return
    with pytest.raises(ValidationError, match=f"{rule} has no threshold: only task_failures, container_crashes, "):
        AlertSettings.model_validate(table)


def test_the_webhook_is_the_first_of_the_targets() -> None:
    assert AlertSettings().target_names == ()
    url = "https://hooks.example.com/x"
    settings = AlertSettings.model_validate({"webhook_url": url, "apprise": ["ops", "me"]})
    assert settings.target_names == ("webhook", "ops", "me")
