"""The check of `squire doctor` that the price of each model that is called is known."""

from collections.abc import Iterator

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.execution.price_checks import unpriced_models


def check_prices(context: CliContext) -> Iterator[Diagnosis]:
    """Name each model without a known price, and what the budgets make of it. Raises ConfigError."""
    unpriced = tuple(unpriced_models(context.settings))
    for model in unpriced:
        is_refused = model.has_limit and model.user == "agent"
        yield Diagnosis(f"{model.user}'s price", "fail" if is_refused else "warn", str(model), model.hint)
    if not unpriced:
        yield Diagnosis("prices", "ok", "the price of each model that is called is known, or none is called")
