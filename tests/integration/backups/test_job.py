"""The job `back_up`, as its schedule runs it."""

from pathlib import Path

import dagster as dg
import pytest

from squire_pipelines.definitions import build_defs
from squire_pipelines.settings.model import load_settings
from tests.support.ledgers import new_sqlite_ledger


def test_a_scheduled_backup_is_made_in_the_folder_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "home"))
    new_sqlite_ledger(tmp_path / "home" / "ledger.sqlite").close()
    config = tmp_path / "home" / "config.toml"
    config.write_text(f'[backup]\nschedule = "17 4 * * *"\nfolder = "{tmp_path / "backups"}"\n')
    defs = build_defs(load_settings())
    (schedule,) = (one for one in defs.schedules or () if one.name == "back_up_regularly")
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.cron_schedule, schedule.job_name) == ("17 4 * * *", "back_up")
    assert defs.resolve_job_def("back_up").execute_in_process().success
    (path,) = (tmp_path / "backups").glob("squire-*.tar.gz")
    assert path.stat().st_size > 1000


def test_without_a_schedule_none_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    names = {one.name for one in build_defs(load_settings()).schedules or ()}
    assert "clean_regularly" in names
    assert "back_up_regularly" not in names
