"""Whose an alert is: what is about a tenant's repository or budget is that tenant's, all else the house's. Pure."""

import re
from collections.abc import Callable

from squire_pipelines.domain.budgets import Scope

_OF_A_TENANT = re.compile(r"(?:day|month) of the tenant ([a-z][a-z0-9]*)")


def budget_subject(scope: Scope, tenant: str) -> str:
    """Return the subject of an alert about the budget of a tenant as a whole."""
    return f"{'day' if scope is Scope.TENANT_DAY else 'month'} of the tenant {tenant}"


def tenant_of_alert(subject: str, tenant_of: Callable[[str], str]) -> str | None:
    """Return whose an alert is; None where it is of no repository and no tenant, so that it is the house's alone.

    Args:
        subject: Of the alert: a repository, something `of` one, a tenant's budget, or anything else.
        tenant_of: Gives whose a repository is.
    """
    if (budget := _OF_A_TENANT.fullmatch(subject)) is not None:
        return budget[1]
    about = subject.rpartition(" of ")[2]
    is_repository = about.count("/") == 1 and about.split() == [about] and not about.startswith("/")
    return tenant_of(about) if is_repository else None
