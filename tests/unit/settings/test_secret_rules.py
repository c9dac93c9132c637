"""What signs deliveries has no other use."""

from typing import Any

import pytest
from pydantic import ValidationError

from squire_pipelines.settings.model import Settings

PROVIDERS = {"claude": {"protocol": "anthropic"}, "other": {"protocol": "openai", "secret": "shared-key"}}


def settings(**sections: Any) -> Settings:
    return Settings(repositories=("acme/api", "acme/shop"), **sections)


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"webhooks": {"secrets": {"acme/api": ["claude-key"]}}}, "claude-key is the key of .providers.claude. too"),
        ({"webhooks": {"secrets": {"acme/api": ["a-key", "shared-key"]}}}, "the key of .providers.other. too"),
        ({"webhooks": {"secrets": {"acme/api": ["alert-ops-token"]}}}, "a secret of .alerts. too"),
        ({"webhooks": {"secrets": {"acme/api": ["hook-sentry-key"]}}}, "a secret of .hooks.sentry. too"),
        ({"hooks": {"sentry": {"secrets": ["claude-key"]}}}, r".hooks.sentry.: claude-key is the key of"),
    ],
)
def test_a_secret_of_another_use_is_refused_with_both(sections: dict[str, Any], says: str) -> None:
    others: dict[str, Any] = {"providers": PROVIDERS, "alerts": {"apprise": ["ops"]}, "hooks": {"sentry": {}}}
    with pytest.raises(ValidationError, match=says):
        settings(**{**others, **sections})


def test_two_repositories_or_two_senders_may_share_one() -> None:
    shared = settings(
        providers=PROVIDERS,
        webhooks={"secrets": {"acme/api": ["acme-hook-key"], "acme/shop": ["acme-hook-key"]}},
        hooks={"sentry": {"secrets": ["ci-key"]}, "ci": {"reader": "generic", "secrets": ["ci-key"]}},
    )
    assert shared.webhooks.secret_names == ("acme-hook-key",)
    assert shared.hook_secrets == ("ci-key",)
