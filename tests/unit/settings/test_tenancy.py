"""What the settings of tenants mean: whose a repository is, and what holds there and nowhere else."""

from typing import Any

import pytest
from pydantic import ValidationError

from squire_pipelines.errors import ConfigError
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.provider_uses import provider_uses

REPOSITORIES = ("acme/api", "acme/web", "beta/x", "house/y")
TENANTS: dict[str, Any] = {
    "alpha": {
        "repositories": ["acme/*"],
        "weight": 2,
        "providers": {"claude": {"protocol": "anthropic"}},
        "agent": {"kind": "claude-code", "provider": "claude"},
        "planner": {"provider": "claude", "model": "claude-small"},
        "budgets": {"day": {"usd": 5}, "task": {"usd": 2}},
        "issue_labels": ["alpha"],
    },
    "beta": {"repositories": ["beta/x"], "house_secrets": ["github-token"]},
}


def settings(tenants: dict[str, Any] = TENANTS, **values: Any) -> Settings:
    made = Settings(repositories=REPOSITORIES, tenants=tenants, **values)
    made.check_overrides()
    return made


def test_a_tenants_sections_hold_in_its_repositories_and_a_repositorys_own_win() -> None:
    own = settings(repository={"acme/web": {"agent": {"model": "mine"}}})
    assert own.agent_for("acme/api").model == "claude-haiku-4-5"
    assert own.agent_for("acme/web").model == "mine"
    assert [own.agent_for(name).provider for name in ("acme/web", "beta/x", "house/y")] == ["claude", None, None]
    assert own.issue_labels_for("acme/api") == ("alpha",)
    assert own.issue_labels_for("beta/x") == own.planner.issue_labels
    limits = own.budgets_for("acme/api")
    assert (limits.whose, limits.task.usd, limits.is_set) == ("alpha", 2, True)
    assert [own.budgets_for(name).whose for name in ("beta/x", "house/y")] == ["beta", None]


def test_the_settings_of_one_tenant_have_its_repositories_providers_and_secrets_alone() -> None:
    house = settings(repository={"beta/x": {"issue_labels": ["x"]}})
    alpha, beta, rest = (house.for_repository(name) for name in ("ACME/web", "beta/x", "house/y"))
    assert (alpha.tenant, alpha.repositories) == ("alpha", ("acme/api", "acme/web"))
    assert (alpha.planner.model, beta.planner.model, rest.tenant) == ("claude-small", None, "default")
    assert (alpha.repository, sorted(beta.repository)) == ({}, ["beta/x"])
    assert (set(alpha.providers), set(beta.providers)) == ({"claude"}, set())
    assert alpha.secret_sources.names_of("github-token") == ("alpha.github-token",)
    assert beta.secret_sources.names_of("github-token") == ("beta.github-token", "github-token")
    assert rest.secret_sources.names_of("github-token") == ("github-token",)
    assert alpha.for_repository("beta/x") is alpha
    assert house.tenant is None


def test_the_operators_settings_name_every_tenants_secrets() -> None:
    names = settings().named_secrets
    assert {"alpha.claude-key", "alpha.github-token", "beta.webhook-secret"} <= {*names}
    assert not any("." in name for name in settings().for_tenant("alpha").named_secrets)


def test_without_tenants_all_is_as_it_was() -> None:
    own = settings({})
    assert own.for_repository("acme/api") is own
    assert (own.tenant_of("acme/api"), own.tenant_names, own.recorded_tenants) == ("default", ("default",), {})


def test_a_group_is_of_its_members_tenant_and_its_plans_are_too() -> None:
    group = {"name": "both", "repositories": ["acme/api", "acme/web"], "goals": "x"}
    own = settings(planner={"group": [group]})
    assert own.tenant_of("group:both") == "alpha"
    assert own.budgets_for("group:both").whose == "alpha"
    assert [len(own.for_tenant(name).planner.group) for name in ("alpha", "beta")] == [1, 0]


@pytest.mark.parametrize(
    ("tenants", "values", "reason"),
    [
        ({"a": {"repositories": ["acme/*"]}, "b": {"repositories": ["acme/api"]}}, {}, "acme/api belongs to the tena"),
        ({"a": {"repositories": ["acme/gone"]}}, {}, "acme/gone, which is not among repositories"),
        ({"a": {"repositories": ["acme"]}}, {}, "no repository or pattern"),
        ({"a-b": {"repositories": ["acme/*"]}}, {}, "small letters and digits"),
        (
            {"a": {"repositories": ["acme/*"]}},
            {"planner": {"group": [{"name": "g", "repositories": ["acme/api", "beta/x"], "goals": "x"}]}},
            r"several tenants \(a, default\)",
        ),
        ({"a": {"repositories": ["acme/*"]}}, {"providers": {"tenant-a": {"protocol": "openai"}}}, "tenant-a"),
        (
            {"a": {"repositories": ["acme/*"], "providers": {"p": {"protocol": "openai"}}}},
            {"providers": {"p": {"protocol": "openai"}}},
            "another table has this name",
        ),
        ({"a": {"repositories": ["acme/*"], "house_secrets": ["b.github-token"]}}, {}, "no secret of the house"),
        ({"a": {"repositories": ["acme/*"], "planner": {"goals": "x"}}}, {}, "no setting of a tenant"),
    ],
)
def test_what_tenants_would_share_is_refused(tenants: dict[str, Any], values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Settings(repositories=REPOSITORIES, tenants=tenants, **values)


def test_a_tenant_uses_this_machines_credentials_at_a_cloud_only_where_it_may() -> None:
    cloud = {"protocol": "anthropic", "platform": "bedrock", "region": "eu-central-1"}
    tenant = {"repositories": ["acme/*"], "agent": {"kind": "claude-code", "provider": "aws", "model": "m"}}
    with pytest.raises(ConfigError, match="the tenant a may not use them"):
        settings({"a": tenant}, providers={"aws": cloud})
    settings({"a": {**tenant, "house_clouds": True}}, providers={"aws": cloud})


def test_a_tenants_section_that_cannot_be_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\[tenants.a.policy\]"):
        settings({"a": {"repositories": ["acme/*"], "policy": {"max_files": "many"}}})


def test_each_tenants_models_are_asked_with_its_own_key() -> None:
    uses = {(use.user, use.tenant, use.secret) for use in provider_uses(settings())}
    assert uses == {("planner", "alpha", "alpha.claude-key"), ("agent", "alpha", "alpha.claude-key")}
    shared = settings(
        {"a": {"repositories": ["acme/*"]}},
        providers={"claude": {"protocol": "anthropic"}},
        agent={"kind": "claude-code", "provider": "claude"},
    )
    assert {use.secret for use in provider_uses(shared)} == {"a.claude-key", "claude-key"}
