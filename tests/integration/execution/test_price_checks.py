"""Models without a known price are told before they are called, with what the budgets make of them."""

from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.execution.price_checks import check_prices, unpriced_models
from squire_pipelines.settings.model import Settings, load_settings

REPOSITORY = "acme/shop"
AGENT = (
    f'repositories = ["{REPOSITORY}"]\n'
    '[providers.own]\nprotocol = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'
    '[agent]\nprovider = "own"\nmodel = "a-model-of-ones-own"\n'
)
BUDGET = "[budgets.attempt]\nusd = 2\n"
PRICE = '[providers.own.prices."a-model-of-ones-own"]\ninput = 1.0\noutput = 2.0\n'


def read(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file)


def test_without_a_budget_it_is_told_and_may_run(tmp_path: Path) -> None:
    settings = read(tmp_path, AGENT)
    (model,) = unpriced_models(settings)
    assert str(model) == (
        "the price of a-model-of-ones-own at the provider own is not known: what it costs is recorded as not known, "
        "unless its provider states it"
    )
    assert '[providers.own.prices."a-model-of-ones-own"]' in model.hint
    check_prices(settings, REPOSITORY)


@pytest.mark.parametrize("limit", [BUDGET, "[budgets.day]\nusd = 5\n"])
def test_with_a_budget_in_dollars_its_attempts_do_not_start(tmp_path: Path, limit: str) -> None:
    settings = read(tmp_path, AGENT + limit)
    with pytest.raises(ConfigError, match="no attempt starts") as refused:
        check_prices(settings, REPOSITORY)
    assert "or limit tokens instead" in refused.value.hint
    (model,) = unpriced_models(settings)
    assert model.has_limit


@pytest.mark.parametrize(
    "text", [AGENT + BUDGET + PRICE, AGENT.replace("a-model-of-ones-own", "gpt-4o") + BUDGET, BUDGET]
)
def test_a_known_price_and_no_model_are_fine(tmp_path: Path, text: str) -> None:
    settings = read(tmp_path, text)
    check_prices(settings, REPOSITORY)
    assert list(unpriced_models(settings)) == []


def test_a_planners_model_is_told_of_too(tmp_path: Path) -> None:
    planner = '[planner]\nkind = "llm"\nmodel = "openai:a-model-of-ones-own"\n[budgets.plan]\nusd = 1\n'
    (model,) = unpriced_models(read(tmp_path, planner))
    assert (model.user, model.model, model.has_limit) == ("planner", "a-model-of-ones-own", True)
    assert "each plan counts with all that it reserved" in str(model)
