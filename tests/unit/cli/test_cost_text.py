"""What calls cost, in words."""

from squire_pipelines.cli.cost_text import cost_text
from squire_pipelines.ledger.model_calls import CallCosts


def test_the_words_say_what_is_not_known_and_what_the_provider_says() -> None:
    assert cost_text(CallCosts(0, 0, 0, 0, 0.0, 0.0, 0.0)) == ""
    assert cost_text(CallCosts(1, 0, 0, 0, 0.25, 0.0, 0.0)) == "0.2500 USD, 1 call"
    assert cost_text(CallCosts(4, 1, 2, 3, 0.25, 0.3, 0.05)) == (
        "0.2500 USD, 4 calls, 2 without a known price, 1 with estimated tokens, "
        "0.3000 USD by the provider's own figure of 3 (+0.0500 against our calculation)"
    )
