"""Tenants as the settings have them: which repository is whose, what holds for those, and the rules between them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from squire_pipelines.domain.plan_groups import group_subject
from squire_pipelines.domain.tenants import RepositoryOfTwoTenantsError, check_patterns, tenant_of
from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.sections.tenants import MAX_TENANTS, TenantName, TenantOverrides
from squire_pipelines.settings.errors import setting_context
from squire_pipelines.settings.keys import SettingValueError
from squire_pipelines.settings.providers import Providers, ProviderSettings


class TenantSettings(TenantOverrides):
    """A tenant: its repositories, its share, what its work may cost, and what in its repositories differs."""

    providers: Providers = Field(default_factory=dict, description="of models, beside [providers]; its own keys alone")


Tenants = Annotated[dict[TenantName, TenantSettings], Field(max_length=MAX_TENANTS)]


def owners_of(
    tenants: Mapping[str, TenantSettings], repositories: Collection[str], groups: Sequence[PlanGroup]
) -> dict[str, str]:
    """Return whose each repository of the settings is, and each group's plans, by their names in small letters.

    Raises:
        SettingValueError: One would be two tenants'.
    """
    if not tenants:
        return {}
    patterns = {name: table.repositories for name, table in tenants.items()}
    try:
        check_patterns(patterns)
        owners = {name.casefold(): tenant_of(name, patterns) for name in repositories}
    except RepositoryOfTwoTenantsError as error:
        raise SettingValueError(str(error), key=("tenants",)) from error
    for number, group in enumerate(groups):
        whose = {owners[member.casefold()] for member in group.repositories}
        if len(whose) > 1:
            message = f"the group {group.name} has repositories of several tenants ({', '.join(sorted(whose))})"
            raise SettingValueError(message, key=("planner", "group", number, "repositories"))
        owners[group_subject(group.name)] = whose.pop()
    return owners


def check_clouds(
    table: str, tenant: str, own: TenantSettings, providers: Mapping[str, ProviderSettings], names: Sequence[str]
) -> None:
    """Refuse a tenant's use of this machine's credentials at a cloud, where its table does not allow it.

    Args:
        table: Of its section, as messages name it.
        tenant: Its name.
        own: Its table.
        providers: The tables that it may name.
        names: Of the providers that the section names.

    Raises:
        ConfigError: The section names a provider on a cloud.
    """
    for name in names:
        if providers[name].platform is not None and not own.house_clouds:
            raise ConfigError(
                f"{table}: the provider {name} is on a cloud, whose credentials are this machine's, and the tenant "
                f"{tenant} may not use them",
                hint=f"set tenants.{tenant}.house_clouds = true, or name a provider with a key of the tenant's own",
                context=setting_context(table, "provider"),
            )


def check_tenants(
    tenants: Mapping[str, TenantSettings],
    repositories: Collection[str],
    groups: Sequence[PlanGroup],
    providers: Collection[str],
) -> None:
    """Check that tenants share nothing that is one's alone. Raises SettingValueError.

    Args:
        tenants: The tables `[tenants.NAME]`.
        repositories: All of the settings.
        groups: Repositories that are planned together.
        providers: The names of the tables `[providers.NAME]`.
    """
    owners = owners_of(tenants, repositories, groups)
    for name, table in tenants.items():
        for pattern in table.repositories:
            if not set(pattern) & {"*", "?"} and pattern.casefold() not in owners:
                message = f"the tenant {name} has {pattern}, which is not among repositories"
                raise SettingValueError(message, key=("tenants", name, "repositories"))
    _check_people(tenants)
    _check_providers(tenants, providers)


def _check_people(tenants: Mapping[str, TenantSettings]) -> None:
    owners_of_people: dict[str, str] = {}
    for name, table in tenants.items():
        for person in table.people:
            if (other := owners_of_people.setdefault(person, name)) != name:
                message = f"{person} is one of the people of {other} and of {name}; a person sees one tenant"
                raise SettingValueError(message, key=("tenants", name, "people"))


def _check_providers(tenants: Mapping[str, TenantSettings], providers: Collection[str]) -> None:
    known = set(providers)
    for name, table in tenants.items():
        for provider in table.providers:
            if provider in known:
                message = f"[tenants.{name}.providers.{provider}]: another table has this name, which is one's alone"
                raise SettingValueError(message, key=("tenants", name, "providers", provider))
            known.add(provider)
    for name in known if tenants else ():
        # The variable of its key would be that of a tenant's.
        if name.startswith("tenant-"):
            message = f"[providers.{name}]: with tenants, the name of a provider does not begin with tenant-"
            raise SettingValueError(message, key=("providers", name))
