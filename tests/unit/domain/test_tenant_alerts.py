"""Whose an alert is."""

import pytest

from squire_pipelines.domain.budgets import Scope
from squire_pipelines.domain.tenant_alerts import budget_subject, tenant_of_alert


@pytest.mark.parametrize(
    ("subject", "tenant"),
    [
        ("acme/api", "acme"),
        ("open_issues of acme/api", "acme"),
        (budget_subject(Scope.TENANT_DAY, "beta"), "beta"),
        (budget_subject(Scope.TENANT_MONTH, "beta"), "beta"),
        ("month", None),
        ("all", None),
        ("engine on host/name with words", None),
        ("a/b/c", None),
        ("", None),
    ],
)
def test_an_alert_is_of_the_tenant_whose_repository_or_budget_it_is_about(subject: str, tenant: str | None) -> None:
    assert tenant_of_alert(subject, lambda name: name.partition("/")[0]) == tenant
