"""A tenant's secrets are its own: found under its names, never another tenant's, and the house's only where it may."""

from pathlib import Path

import pytest

from squire_pipelines.errors import SecretMissingError
from squire_pipelines.home import Home
from squire_pipelines.secret_names import check_secret_name, is_secret_variable, variables_of
from squire_pipelines.secrets.lookup import all_secrets, find_secret, locate_secret, require_secret
from squire_pipelines.secrets.sources import SecretSources


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "of-the-house")
    monkeypatch.setenv("GITHUB_TOKEN", "of-the-house")
    monkeypatch.setenv("SQUIRE_TENANT_BETA_GITHUB_TOKEN", "of-beta")
    monkeypatch.setenv("SQUIRE_TENANT_ALPHA_OPENAI_KEY", "key-of-alpha")
    return Home.from_environment()


def value(name: str, sources: SecretSources) -> str | None:
    secret = find_secret(name, sources)
    return None if secret is None else secret.reveal()


def test_a_tenant_has_its_own_secret_else_none_else_the_houses_where_it_may(home: Home) -> None:
    house, beta = SecretSources(home), SecretSources(home, tenant="beta", house_secrets=frozenset({"github-token"}))
    alpha = SecretSources(home, tenant="alpha")
    allowed = SecretSources(home, tenant="alpha", house_secrets=frozenset({"github-token"}))
    values = [value("github-token", sources) for sources in (house, beta, alpha, allowed)]
    assert values == ["of-the-house", "of-beta", None, "of-the-house"]
    assert [value("openai-key", sources) for sources in (house, beta, alpha)] == [None, None, "key-of-alpha"]
    assert value("beta.github-token", house) == "of-beta"
    assert locate_secret("openai-key", alpha)[0] == "environment variable SQUIRE_TENANT_ALPHA_OPENAI_KEY"
    assert [secret.reveal() for secret in all_secrets(alpha, ("openai-key",))] == ["key-of-alpha"]


def test_another_tenants_secret_cannot_be_asked_for_by_its_name(home: Home) -> None:
    with pytest.raises(ValueError, match="no secret of the tenant alpha"):
        find_secret("beta.github-token", SecretSources(home, tenant="alpha"))


def test_a_missing_one_is_named_as_the_tenants_own(home: Home) -> None:
    with pytest.raises(SecretMissingError, match=r"alpha\.github-token") as caught:
        require_secret("github-token", SecretSources(home, tenant="alpha"))
    assert "SQUIRE_TENANT_ALPHA_GITHUB_TOKEN" in (caught.value.hint or "")


def test_each_secret_has_variables_of_its_own() -> None:
    names = (
        "github-token",
        "a.github-token",
        "ab.github-token",
        "a.b-github-token",
        "webhook-secret",
        "a.webhook-secret",
    )
    variables = [variable for name in names for variable in variables_of(check_secret_name(name))]
    assert len(set(variables)) == len(variables)
    assert all(map(is_secret_variable, variables))
    assert not is_secret_variable("SQUIRE_TENANTS__A__WEIGHT")


@pytest.mark.parametrize("name", ["a.b.github-token", "A.github-token", "a-b.github-token", ".github-token", "a.x"])
def test_what_is_no_tenants_secret_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        check_secret_name(name)
