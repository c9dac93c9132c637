"""The two homes that the simulated year is measured on: one after its first day, and one after all of it."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from squire_pipelines.definitions import build_defs
from squire_pipelines.runtime.dagster_home import instance_environment
from squire_pipelines.settings.model import load_settings
from squire_pipelines.upkeep.dagster_files import DagsterFiles
from tests.support.dagster_history import add_ticks, copy_run
from tests.support.simulated_year import REPOSITORIES, SimulatedYear, YearSize

ROUTINE_RUNS_PER_DAY = 620
"""144 each of reading, publishing and recovering, and as many again of planning, following and the rest."""

FAILED_RUNS_PER_DAY = 10
TICKS_PER_DAY = 125_000
"""Of sixteen sensors and schedules, each five or ten seconds."""

ATTEMPT_BYTES = 136 * 1024
_DAY = timedelta(days=1)


def make_homes(folder: Path, size: YearSize, progress: Callable[[str], None]) -> tuple[Path, Path]:
    """Make the home of the first day and the one of the whole year, unless they are there."""
    first, whole = folder / "first", folder / "year"
    if (folder / "whole").exists():
        return first, whole
    whole.mkdir(parents=True)
    end = datetime.now(UTC)
    year = SimulatedYear(whole, folder, size=size, end=end)
    year.pass_days(1, progress)
    year.close()
    shutil.copytree(whole, first)
    year.pass_days(size.days - 1, progress)
    year.close()
    attempts_per_day = size.attempts // size.days
    for home, days in ((first, 1), (whole, size.days)):
        _add_the_rest(home, days=days, attempts=attempts_per_day, progress=progress)
    (folder / "whole").touch()
    return first, whole


def environment(home: Path) -> dict[str, str]:
    """Return the environment of the commands that work in a home."""
    return {"SQUIRE_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "SQUIRE_GITHUB_TOKEN": "ghp_" + "x" * 36}


def purge(home: Path) -> None:
    """Run the job `clean` in a home, as its schedule does."""
    _run(home, "clean")


def _run(home: Path, job: str) -> str:
    before = dict(os.environ)
    os.environ.update(environment(home))
    try:
        instance_environment(load_settings())
        with dg.DagsterInstance.get() as instance:
            done = build_defs().resolve_job_def(job).execute_in_process(instance=instance)
            return done.run_id
    finally:
        os.environ.clear()
        os.environ.update(before)


def _add_the_rest(home: Path, *, days: int, attempts: int, progress: Callable[[str], None]) -> None:
    """Add settings, folders of attempts, and runs and ticks of Dagster: what the last purges left, and a day's more."""
    names = ", ".join(f'"{name}"' for name in REPOSITORIES)
    (home / "config.toml").write_text(
        f'repositories = [{names}]\n[github]\napi_url = "http://127.0.0.1:9"\n[planner]\nkind = "rules"\n'
        '[agent]\nkind = "command"\nrunner = "local"\ncommand = ["true"]\n',
        encoding="utf-8",
    )
    for number in range(min(days, 7) * attempts):
        attempt = home / "attempts" / f"t{number:08}-1"
        attempt.mkdir(parents=True)
        (attempt / "output.log").write_bytes(os.urandom(ATTEMPT_BYTES))
    real = _run(home, "publish_history")
    files, now = DagsterFiles(home / "dagster"), datetime.now(UTC)
    for job, status, per_day, kept in (
        ("publish_history", "SUCCESS", ROUTINE_RUNS_PER_DAY, 1),
        ("agent_run", "SUCCESS", attempts, 7),
        ("collect", "FAILURE", FAILED_RUNS_PER_DAY, 30),
    ):
        count = per_day * min(days, kept + 1)
        copy_run(files, real, count=count, job=job, status=status, ended=now, step=_DAY / per_day)
    add_ticks(files, count=TICKS_PER_DAY, ended=now, step=_DAY / TICKS_PER_DAY)
    purge(home)
    progress(f"{home.name}: runs, ticks and folders are there")
