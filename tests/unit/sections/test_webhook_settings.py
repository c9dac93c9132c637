"""The names of secrets that the webhooks of single repositories may have."""

import pytest
from pydantic import ValidationError

from squire_pipelines.sections.webhooks import WebhookSettings


def test_a_secret_of_several_repositories_is_named_once() -> None:
    settings = WebhookSettings(secrets={"acme/shop": ("a-key", "b-token"), "acme/other": ("b-token",)})
    assert settings.secret_names == ("a-key", "b-token")


@pytest.mark.parametrize(
    "secrets",
    [
        {"acme/shop": ("webhook-secret",)},
        {"acme/shop": ("github-token",)},
        {"acme/shop": ("alert-webhook-key",)},
        {"acme/shop": ("It's a Secret to Everybody",)},
        {"acme/shop": ()},
        {"acme/shop": ("a-key", "b-key", "c-key", "d-key")},
        {"acme/shop": ("a-key",), "ACME/Shop": ("b-key",)},
        {"no repository": ("a-key",)},
        {f"acme/r{number}": ("a-key",) for number in range(21)},
    ],
)
def test_what_can_be_no_secret_of_a_repository_is_refused(secrets: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValidationError) as caught:
        WebhookSettings(secrets=secrets)
    assert "Everybody" not in str([error["msg"] for error in caught.value.errors()])
