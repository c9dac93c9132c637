"""The one condition by which a row is a tenant's, as SQL that SQLite, Postgres and DuckDB read. Standard library only.

A row belongs to whose repository it was about at the row's moment. A row that goes on, such as a task under way or an
open signal, has no moment yet: it moves with its repository.
"""

from squire_pipelines.domain.tenants import DEFAULT_TENANT, check_tenant_name


def is_of_tenant(tenant: str, repository: str, moment: str | None = None) -> str:
    """Return the condition that a row is of a tenant.

    Args:
        tenant: Its name, which stands in the text: it is checked here.
        repository: The expression of the row's repository.
        moment: That of its moment, which may be null; None for what is always of now.

    Raises:
        ValueError: No tenant can have the name.
    """
    is_default = tenant == DEFAULT_TENANT
    name = tenant if is_default else check_tenant_name(tenant)
    time = "rt.until IS NULL"
    if moment is not None:
        within = f"rt.since <= {moment} AND (rt.until IS NULL OR {moment} < rt.until)"
        time = f"(({moment}) IS NULL AND rt.until IS NULL OR {within})"
    sign = "<>" if is_default else "="
    exists = f"EXISTS (SELECT 1 FROM repository_tenants rt WHERE rt.repository = {repository}"  # noqa: S608 - ours
    # What nobody has been given belongs to the house.
    return f"{'NOT ' if is_default else ''}{exists} AND rt.tenant {sign} '{name}' AND {time})"
