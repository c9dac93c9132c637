"""What is removed of old attempts' folders, and what stays."""

import os
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from squire_pipelines.agents.retention import sweep
from tests.support.deep_trees import make_deep

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def folder(root: Path, name: str, age: timedelta) -> Path:
    made = root / name
    (made / "out").mkdir(parents=True)
    (made / "agent.log").write_text("x")
    changed = (NOW - age).timestamp()
    os.utime(made, (changed, changed))
    return made


def known(**ends: datetime | None) -> object:
    def ended_at(ids: Collection[str]) -> Mapping[str, datetime | None]:
        return {name: ends[name] for name in ids if name in ends}

    return ended_at


def test_what_ended_long_ago_goes_and_the_rest_stays(tmp_path: Path) -> None:
    old = folder(tmp_path, "old", 10 * timedelta(days=1))
    late = folder(tmp_path, "late", timedelta(days=10))
    under_way = folder(tmp_path, "under_way", timedelta(days=30))
    young = folder(tmp_path, "young", timedelta(days=1))
    gone = folder(tmp_path, "gone_from_the_ledger", timedelta(days=8))
    ends = known(old=NOW - timedelta(days=9), late=NOW - timedelta(days=6), under_way=None)
    assert sweep(tmp_path, ends, keep=WEEK, now=NOW) == 2  # type: ignore[arg-type]
    assert [folder.exists() for folder in (old, gone)] == [False, False]
    assert all(folder.exists() for folder in (late, under_way, young))


def test_one_sweep_is_bounded(tmp_path: Path) -> None:
    for number in range(5):
        folder(tmp_path, f"f{number}", timedelta(days=10 + number))
    assert sweep(tmp_path, known(), keep=WEEK, now=NOW, max_folders=2) == 2  # type: ignore[arg-type]
    assert {folder.name for folder in tmp_path.iterdir()} == {"f0", "f1", "f2"}


def test_before_the_first_attempt_there_is_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none", known(), keep=WEEK, now=NOW) == 0  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_removed_is_passed_over(tmp_path: Path) -> None:
    made = folder(tmp_path, "old", timedelta(days=10))
    (tmp_path / "link").symlink_to(made)  # a link to a folder is not followed
    os.utime(made, ((NOW - timedelta(days=10)).timestamp(),) * 2)
    assert sweep(tmp_path, known(), keep=WEEK, now=NOW) == 1  # type: ignore[arg-type]


@pytest.mark.slow
def test_folder_that_goes_deep_stops_nobody_elses_removal(tmp_path: Path) -> None:
    made = folder(tmp_path, "a_deep_one", timedelta(days=10))
    make_deep(made / "out" / "tree", 3000)
    os.utime(made, ((NOW - timedelta(days=10)).timestamp(),) * 2)
    folder(tmp_path, "another", timedelta(days=9))
    assert sweep(tmp_path, known(), keep=WEEK, now=NOW) == 2  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
