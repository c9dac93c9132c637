"""When a change of a file is over."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.reloading.file_state import SETTLE_S, FileMark, is_settled, mark_of

NOW = 1_700_000_000.0


def written(at_s: float) -> FileMark:
    return FileMark(1, 2, 3, int(at_s * 1e9), int(at_s * 1e9))


@given(age_s=st.floats(-1e6, 1e6), seen_for_s=st.floats(0, 10))
def test_a_file_is_settled_once_it_is_old_enough_or_was_seen_unchanged_for_as_long(
    age_s: float, seen_for_s: float
) -> None:
    settled = is_settled(written(NOW - age_s), seen_for_s=seen_for_s, wall_s=NOW)
    if seen_for_s >= SETTLE_S or age_s >= SETTLE_S + 1e-3:
        assert settled
    if seen_for_s < SETTLE_S and age_s < SETTLE_S - 1e-3:
        assert not settled


def test_a_file_that_is_gone_has_to_stay_away_for_a_while() -> None:
    assert not is_settled(None, seen_for_s=0, wall_s=NOW)
    assert is_settled(None, seen_for_s=SETTLE_S, wall_s=NOW)


def test_a_mark_changes_with_whatever_is_done_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert mark_of(path) is None
    path.write_text("a = 1\n", encoding="utf-8")
    marks = [mark_of(path)]
    path.write_text("a = 12\n", encoding="utf-8")
    marks.append(mark_of(path))
    os.utime(path, (NOW, NOW))
    marks.append(mark_of(path))
    other = tmp_path / "other.toml"
    other.write_text("a = 12\n", encoding="utf-8")
    other.replace(path)
    marks.append(mark_of(path))
    assert len(set(marks)) == len(marks)
    assert mark_of(path / "below a file") is None
