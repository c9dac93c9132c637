import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.errors import ConfigError, GitHubUnavailableError, RefusedError
from squire_pipelines.github import app_manifest
from squire_pipelines.github.permissions import needs_of_app
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.settings.model import Settings

STATE = "s" * 43
CODES = st.text(string.ascii_letters + string.digits, min_size=16, max_size=60)


@pytest.mark.parametrize(
    ("api_url", "web", "organization", "address"),
    [
        ("https://api.github.com", "https://github.com", None, "https://github.com/settings/apps/new?state=x"),
        (
            "https://ghe.example/api/v3/",
            "https://ghe.example",
            "acme",
            "https://ghe.example/organizations/acme/settings/apps/new?state=x",
        ),
        (
            "https://api.acme.ghe.com",
            "https://acme.ghe.com",
            None,
            "https://acme.ghe.com/settings/apps/new?state=x",
        ),
    ],
)
def test_the_addresses_are_those_of_the_github_of_the_settings(
    api_url: str, web: str, organization: str | None, address: str
) -> None:
    assert GitHubSettings(api_url=api_url).web_url == web
    assert app_manifest.new_app_url(web, organization, "x") == address


def test_without_an_address_for_it_the_manifest_has_no_webhook_and_with_one_it_has_the_events() -> None:
    needs = needs_of_app(Settings())
    redirect = "http://127.0.0.1:1/callback"
    without = app_manifest.manifest("squire-acme", "https://github.com/acme", redirect, needs, None)
    assert without.keys().isdisjoint({"hook_attributes", "default_events"})  # GitHub refuses the first without a url
    assert (without["public"], without["redirect_url"]) == (False, redirect)
    content = app_manifest.manifest(
        "squire-acme", "https://github.com/acme", redirect, needs, "https://hooks.acme.test/"
    )
    assert content["hook_attributes"] == {"url": "https://hooks.acme.test/webhooks/github", "active": True}
    assert content["default_events"] == [*needs.events]
    assert set(app_manifest.explain_permissions(needs)) == set(content["default_permissions"])


@pytest.mark.parametrize(
    ("url", "web", "is_refused"),
    [
        ("http://localhost:8471", "https://github.com", True),
        ("http://10.1.2.3:8471", "https://github.com", True),
        ("http://10.1.2.3:8471", "https://ghe.example", False),
        ("http://127.0.0.1:8471", "https://ghe.example", True),
        ("http://127.0.0.1:8471", "http://127.0.0.1:9000", False),
        ("https://hooks.acme.test", "https://github.com", False),
    ],
)
def test_an_address_that_github_cannot_reach_is_refused_before_it_is_asked(
    url: str, web: str, *, is_refused: bool
) -> None:
    if is_refused:
        with pytest.raises(ConfigError, match="cannot reach this address"):
            app_manifest.check_public(url, web)
    else:
        app_manifest.check_public(url, web)


@given(CODES)
def test_a_code_is_found_in_what_is_pasted(code: str) -> None:
    for text in (code, f" {code}\r\n", f"http://127.0.0.1:1/callback?code={code}&state={STATE}\n"):
        assert app_manifest.code_in(text, STATE).reveal() == code


@given(CODES, st.text(max_size=60))
def test_an_address_with_another_state_is_refused(code: str, state: str) -> None:
    for text in (f"http://127.0.0.1:1/callback?code={code}&state=x{state}", f"http://127.0.0.1:1/callback?code={code}"):
        with pytest.raises(RefusedError, match="another state"):
            app_manifest.code_in(text, STATE)


@pytest.mark.parametrize("text", ["", "what?", "nonsense", "../../app", "https://github.com/", "a b", "é", "x" * 5000])
def test_a_text_without_a_code_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="no code in that"):
        app_manifest.code_in(text, STATE)


ANSWER = {
    "id": 1,
    "slug": "a",
    "html_url": "https://github.com/apps/a",
    "pem": "-----BEGIN RSA PRIVATE KEY-----\n" + "x" * 40,
    "client_secret": "c" * 40,
}


@pytest.mark.parametrize("changed", [{"id": "x"}, {"pem": None}])
def test_an_answer_without_a_key_is_refused_and_not_repeated(changed: dict[str, object]) -> None:
    with pytest.raises(GitHubUnavailableError) as caught:
        app_manifest.parse_new_app(ANSWER | changed, "POST", "https://github.com")
    assert "xxxx" not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.parametrize(
    "changed", [{}, {"html_url": "https://other-name.test/apps/a"}, {"slug": None}, {"slug": "a/../b"}]
)
def test_what_is_odd_about_an_app_is_no_reason_to_lose_its_key(changed: dict[str, object]) -> None:
    app = app_manifest.parse_new_app(ANSWER | changed, "POST", "https://github.com")
    assert (app.key.reveal(), app.slug, app.page) == (ANSWER["pem"], "a", "https://github.com/apps/a")
    assert app.webhook_secret is None
    assert "xxxx" not in repr(app)


def test_names_have_the_length_that_github_allows() -> None:
    assert app_manifest.app_name(None, "Acme Inc. " * 9) == "squire-Acme-Inc-Acme-Inc-Acme-Inc"
    assert app_manifest.app_name(" Mine ", "acme") == "Mine"
    for name in ("", "x" * 35):
        with pytest.raises(ConfigError, match="1 to 34 characters"):
            app_manifest.app_name(name, "acme")
