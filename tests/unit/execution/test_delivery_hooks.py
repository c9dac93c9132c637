"""Which of a repository's webhooks leads to this receiver."""

import pytest

from squire_pipelines.execution.delivery_hooks import choose_webhook
from squire_pipelines.github.webhook_state import Webhook

HOOKS = (
    Webhook(1, "https://squire.test/webhooks/github", is_active=False),
    Webhook(2, "https://old.test/webhooks/github", is_active=True),
    Webhook(3, "https://older.test/webhooks/github", is_active=False),
)


@pytest.mark.parametrize(("public_url", "number"), [("https://squire.test", 1), ("https://else.test", 2), (None, 2)])
def test_the_receivers_own_host_comes_first_and_then_an_active_one(public_url: str | None, number: int) -> None:
    assert choose_webhook(HOOKS, public_url).id == number
