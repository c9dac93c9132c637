"""The asset check `budget`: whether the budgets still have room."""

import dagster as dg

from squire_pipelines.assets.page_urls import asset_page
from squire_pipelines.assets.plans import BUDGETS
from squire_pipelines.assets.tables import preview
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam


@dg.asset_check(
    name="budget",
    asset=BUDGETS,
    description="Whether the budgets of the day, the month and each repository still have room for an attempt.",
)
def budget_check(settings: SettingsParam, ledger: LedgerParam) -> dg.AssetCheckResult:
    """Warn when a budget is nearly or wholly used up; dispatch keeps to the budgets by itself."""
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.ledger import budgets

    limits_of = repository_settings(ledger, settings).of_all.budgets_for
    with ledger.read() as tx:
        levels = budgets.levels(tx, settings.budgets, limits_of, settings.repositories)
    near = [level for level in levels if level.is_used_up or level.share >= settings.alerts.budget_share]
    return dg.AssetCheckResult(
        passed=not near,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{level.scope} {level.repository or ''}: {level.share:.0%}" for level in near) or None,
        metadata={
            **asset_page(settings, BUDGETS),
            "budgets": preview(
                ("budget", "repository", "used_usd", "used_tokens", "share", "used_up"),
                (
                    (
                        level.scope.value,
                        level.repository or "all",
                        round(level.used.usd, 4),
                        level.used.tokens,
                        round(level.share, 4),
                        level.is_used_up,
                    )
                    for level in levels
                ),
            ),
        },
    )
