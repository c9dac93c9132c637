"""`[hooks.NAME]`: names, readers, repositories, and how a sender signs."""

from typing import Any

import pytest
from pydantic import ValidationError

from squire_pipelines.domain.hook_schemes import HmacScheme, HookScheme, StandardScheme, TokenScheme
from squire_pipelines.sections.hooks import HookSettings
from squire_pipelines.settings.model import Settings

SENTRY = HmacScheme(header="Sentry-Hook-Signature", event_header="Sentry-Hook-Resource")


def settings(**hooks: Any) -> Settings:
    return Settings(repositories=("acme/api",), hooks=hooks)


def test_a_senders_name_is_its_reader_and_its_secret_unless_the_settings_say_otherwise() -> None:
    hooks = settings(sentry={}, my_deploys={"reader": "generic", "secrets": ("a-key", "b-token")}).hooks
    assert hooks["sentry"].reader_of("sentry") == "sentry"
    assert hooks["sentry"].secret_names("sentry") == ("hook-sentry-key",)
    assert hooks["my_deploys"].reader_of("my_deploys") == "generic"
    assert settings(my_deploys={"reader": "generic"}).hook_secrets == ("hook-my-deploys-key",)
    assert settings(a={"reader": "generic", "secrets": ("a-key", "b-token")}).named_secrets[-2:] == ("a-key", "b-token")


@pytest.mark.parametrize(
    ("name", "table", "says"),
    [
        ("github", {"reader": "generic"}, "stands for something else"),
        ("cli", {"reader": "generic"}, "stands for something else"),
        ("repair", {"reader": "generic"}, "stands for something else"),
        ("installation", {"reader": "generic"}, "stands for something else"),
        ("unknown", {"reader": "generic"}, "stands for something else"),
        ("open_prs", {"reader": "generic"}, "stands for something else"),
        ("deploys", {}, "there is no reader 'deploys'"),
        ("deploys", {"reader": "nobody"}, "one of generic, sentry"),
        ("sentry", {"projects": {"web": "acme/shop"}}, "projects name 'acme/shop', which is not among repositories"),
        ("sentry", {"repositories": ["Acme/Api"]}, "not so spelled"),
        ("a__b", {"reader": "generic"}, "not a sender's name"),
        ("A", {"reader": "generic"}, "not a sender's name"),
        ("sentry", {"secrets": ["webhook-secret"]}, "has another use"),
        ("sentry", {"scheme": "token", "tolerance_s": 3}, "tolerance_s is no option of the scheme token"),
        ("sentry", {"scheme": "standard", "header": "X"}, "header is no option of the scheme standard"),
        ("sentry", {"header": "X Y"}, "a header's name"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(name: str, table: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(**{name: table})


def test_a_secret_in_the_place_of_its_name_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as refused:
        settings(sentry={"secrets": ["5d41402abc4b2a76b9719d911017c592"]})
    assert refused.value.errors()[0]["type"] == "secret_shown"


@pytest.mark.parametrize(
    ("table", "scheme"),
    [
        ({}, SENTRY),
        ({"algorithm": "sha512", "prefix": "v1="}, SENTRY.model_copy(update={"algorithm": "sha512", "prefix": "v1="})),
        ({"scheme": "token"}, TokenScheme()),
        ({"scheme": "token", "header": "X-Token", "prefix": ""}, TokenScheme(header="X-Token", prefix="")),
        ({"scheme": "standard", "tolerance_s": 60}, StandardScheme(tolerance_s=60)),
    ],
)
def test_a_sender_signs_as_its_reader_says_with_what_the_settings_change(
    table: dict[str, Any], scheme: HookScheme
) -> None:
    assert HookSettings.model_validate(table).scheme_over(SENTRY) == scheme


def test_what_a_scheme_needs_is_asked_for() -> None:
    with pytest.raises(ValueError, match="the scheme hmac needs header"):
        HookSettings(scheme="hmac").scheme_over(StandardScheme())
    with pytest.raises(ValueError, match="encoding is no option of the scheme standard"):
        HookSettings(encoding="hex").scheme_over(StandardScheme())
