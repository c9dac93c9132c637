"""The job `back_up`, as the sensor requests it."""

from pathlib import Path

import pytest

from squire_pipelines.definitions import build_defs
from squire_pipelines.settings.model import load_settings
from tests.support.ledgers import new_sqlite_ledger


def test_a_backup_is_made_in_the_folder_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "home"))
    new_sqlite_ledger(tmp_path / "home" / "ledger.sqlite").close()
    config = tmp_path / "home" / "config.toml"
    config.write_text(f'[backup]\nschedule = "17 4 * * *"\nfolder = "{tmp_path / "backups"}"\n')
    assert build_defs(load_settings()).resolve_job_def("back_up").execute_in_process().success
    (path,) = (tmp_path / "backups").glob("squire-*.tar.gz")
    assert path.stat().st_size > 1000
