"""A repository has one tenant; one that no tenant names is the house's."""

import pytest

from squire_pipelines.domain.tenants import (
    DEFAULT_TENANT,
    RepositoryOfTwoTenantsError,
    check_patterns,
    check_tenant_name,
    tenant_of,
)

PATTERNS = {"alpha": ("acme/*", "beta/site"), "gamma": ("beta/a?i",)}


@pytest.mark.parametrize(
    ("repository", "tenant"),
    [
        ("acme/web", "alpha"),
        ("ACME/Web", "alpha"),
        ("beta/site", "alpha"),
        ("beta/api", "gamma"),
        ("beta/apis", DEFAULT_TENANT),
        ("acme", DEFAULT_TENANT),
        ("other/acme/web", DEFAULT_TENANT),
    ],
)
def test_whose_a_repository_is(repository: str, tenant: str) -> None:
    assert tenant_of(repository, PATTERNS) == tenant


def test_two_tenants_that_have_one_repository_are_both_named() -> None:
    with pytest.raises(RepositoryOfTwoTenantsError, match=r"alpha, by 'acme/\*', and to beta, by 'acme/api'"):
        tenant_of("acme/api", {"alpha": ("acme/*",), "beta": ("acme/api",)})
    with pytest.raises(RepositoryOfTwoTenantsError, match="alpha and beta"):
        check_patterns({"alpha": ("acme/*",), "beta": ("ACME/*",)})


@pytest.mark.parametrize("name", ["default", "a-b", "a_b", "", "1a", "A", "a" * 25, "a.b"])
def test_a_name_that_would_not_be_one_part_of_a_variable_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="tenant"):
        check_tenant_name(name)
