"""The conditions by which rows are a tenant's, as SQL that SQLite, Postgres and DuckDB read. Standard library only.

A row belongs to whose repository it was about at the row's moment. A row that goes on, such as a task under way or an
open signal, has no moment yet: it moves with its repository. What nobody has been given is the house's.
"""
# ruff: noqa: S608 - the texts put together are names of ours and a tenant's name, which is checked

from collections.abc import Callable, Iterable

from squire_pipelines.domain.tenants import DEFAULT_TENANT, check_tenant_name, parse_tenant


def is_of_tenant(tenant: str, repository: str, moment: str | None = None, *, source: str = "") -> str:
    """Return the condition that a row is of a tenant.

    Args:
        tenant: Its name, which stands in the text: it is checked here.
        repository: The expression of the row's repository.
        moment: That of its moment, which may be null; None for what is always of now.
        source: What stands before the names of tables, such as `whole.`.

    Raises:
        ValueError: No tenant can have the name.
    """
    return _of(tenant, lambda whose: [_owned(whose, repository, moment, source)])


def audit_is_of_tenant(
    tenant: str, row: str, *, moment: str = "at", tasks: Iterable[str] = ("tasks", "archived_tasks"), source: str = ""
) -> str:
    """Return the condition that a row of the audit trail tells of a tenant's tasks, repositories or secrets.

    What tells of nobody's, such as a backup, is no tenant's: the operators' alone, who see all.

    Args:
        tenant: Its name.
        row: The trail's table, or what the query calls it.
        moment: The column with the row's time.
        tasks: The tables that have tasks.
        source: See `is_of_tenant`.

    Raises:
        ValueError: No tenant can have the name.
    """
    subject, at = f"{row}.subject", f"{row}.{moment}"

    def conditions(whose: str) -> list[str]:
        within = f"rt.since <= {at} AND (rt.until IS NULL OR {at} < rt.until)"
        first = f"substr({subject}, 1, length(rt.repository) + 1)"
        about = f"({subject} = rt.repository OR {first} IN (rt.repository || ' ', rt.repository || '#'))"
        secret = f"substr({subject}, 1, length(rt.tenant) + 1) = rt.tenant || '.'"
        condition = f"{about} AND {within} OR {secret}"
        attempts_task = _task_owned(whose, "oa.task_id", "tasks", source)
        return [
            f"EXISTS (SELECT 1 FROM {source}repository_tenants rt WHERE rt.tenant {whose} AND ({condition}))",
            *(_task_owned(whose, subject, table, source) for table in tasks),
            f"EXISTS (SELECT 1 FROM {source}attempts oa WHERE oa.id = {subject} AND {attempts_task})",
        ]

    own = conditions(f"= '{parse_tenant(tenant)}'")
    return f"({' OR '.join(own)})"


def _of(tenant: str, conditions: Callable[[str], list[str]]) -> str:
    if tenant == DEFAULT_TENANT:
        others = conditions(f"<> '{DEFAULT_TENANT}'")
        return f"NOT ({' OR '.join(others)})"
    own = conditions(f"= '{check_tenant_name(tenant)}'")
    return f"({' OR '.join(own)})"


def _owned(whose: str, repository: str, moment: str | None, source: str) -> str:
    time = "rt.until IS NULL"
    if moment is not None:
        within = f"rt.since <= {moment} AND (rt.until IS NULL OR {moment} < rt.until)"
        time = f"(({moment}) IS NULL AND rt.until IS NULL OR {within})"
    same = f"rt.repository = {repository}"
    return f"EXISTS (SELECT 1 FROM {source}repository_tenants rt WHERE {same} AND rt.tenant {whose} AND {time})"


def _task_owned(whose: str, task_id: str, table: str, source: str) -> str:
    owned = _owned(whose, "ot.repository", "ot.ended_at", source)
    return f"EXISTS (SELECT 1 FROM {source}{table} ot WHERE ot.id = {task_id} AND {owned})"
