"""The checks of what Squire keeps: its settings' repositories, the ledger, the warehouse."""

from collections.abc import Iterator

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.text import counted, size
from squire_pipelines.errors import ConfigError, NotFoundError
from squire_pipelines.home import no_file_hint, restore_mark
from squire_pipelines.settings.goals import all_goals

_QUERY_TIMEOUT_S = 10
MISNAMED = "squire.toml"
"""What people call the settings' file who know other programs."""


def check_settings(context: CliContext) -> Iterator[Diagnosis]:
    """Check the settings, the repositories that they name, and their files of goals."""
    from squire_pipelines.planning.goal_files import read_goals  # noqa: PLC0415 - not needed if the settings fail

    yield from misnamed_settings(context)
    try:
        for goals in all_goals(context.settings):
            read_goals(goals)
    except ConfigError as error:
        yield Diagnosis.of_error("settings", error)
        return
    count = len(context.settings.repositories)
    if count:
        yield Diagnosis("settings", "ok", f"{count} repositor{'y' if count == 1 else 'ies'}")
    else:
        file = context.config_path
        if file.is_file():
            missing, step = f"no repository is named in {file}", "name some in `repositories`"
        else:
            missing, step = f"no repository is named: {file} does not exist", no_file_hint(file)
        yield Diagnosis("settings", "warn", missing, step)


def misnamed_settings(context: CliContext) -> Iterator[Diagnosis]:
    """Tell of a file that looks like the settings' and is not read."""
    file = context.config_path
    if file.name != MISNAMED and (other := file.with_name(MISNAMED)).is_file():
        step = f"move what it has to {file.name}, or name it with SQUIRE_CONFIG or --config"
        yield Diagnosis("settings", "warn", f"{other} is not read: the settings are in {file}", step)


def check_ledger(context: CliContext) -> Iterator[Diagnosis]:
    """Check the ledger's file and schema."""
    from squire_pipelines.ledger.integrity import check_integrity  # noqa: PLC0415 - SQLAlchemy, not needed if the settings fail

    try:
        report = check_integrity(context.settings.resolved_ledger_url, quick=True)
    except NotFoundError as error:
        yield Diagnosis("ledger", "ok", error.message)  # the first run creates it
        return
    if report.problems:
        yield Diagnosis("ledger", "fail", report.problems[0], "`squire ledger check` shows all problems")
    else:
        tasks = report.rows.get("tasks", 0)
        yield Diagnosis("ledger", "ok", f"{report.place}, schema {report.revision}, {counted(tasks, 'task')}")
        yield from _check_names(context)


def _check_names(context: CliContext) -> Iterator[Diagnosis]:
    """Tell which repositories are not what their names say, as the newest look found them, and which are stopped."""
    from squire_pipelines.execution.repository_settings import repository_settings  # noqa: PLC0415 - likewise
    from squire_pipelines.ledger import repositories  # noqa: PLC0415 - SQLAlchemy, not needed if the settings fail

    with context.ledger.read() as tx:
        for known in repositories.not_as_named(tx, context.settings.repositories):
            yield Diagnosis(f"repository {known.repository}", "warn", known.message or known.state.value)
    for name, why in repository_settings(context.ledger, context.settings).stopped.items():
        yield Diagnosis(f"repository {name}", "warn", f"nothing is planned and started: {why}", "ask its people")


def check_backups(context: CliContext) -> Iterator[Diagnosis]:
    """Check that no restore was left unfinished, and that scheduled backups are made."""
    from squire_pipelines.health.backup_probe import look_at_backups  # noqa: PLC0415 - not needed if the settings fail

    if restore_mark(context.home.data).exists():
        message = f"{context.home.data} is incomplete: a restore into it has not ended"
        yield Diagnosis("backup", "fail", message, "run `squire restore FILE` again, which begins anew")
        return
    schedule = context.settings.backup.schedule
    if schedule is None:
        yield Diagnosis("backup", "ok", "none is scheduled: `backup.schedule` is not set")
        return
    yield Diagnosis.of_state("backup", look_at_backups(context.settings, schedule))


def check_warehouse(context: CliContext) -> Iterator[Diagnosis]:
    """Check that the warehouse's file answers a query."""
    path = context.home.warehouse
    if not path.exists():
        yield Diagnosis("warehouse", "ok", "not published yet: the first run publishes it")
        return
    from squire_pipelines.warehouse.query import run_query  # noqa: PLC0415 - DuckDB, only when there is a file

    run_query(path, "select 1", limit=1, timeout_s=_QUERY_TIMEOUT_S)
    yield Diagnosis("warehouse", "ok", f"{path}, {size(path.stat().st_size)}")
