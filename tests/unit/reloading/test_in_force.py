"""Settings in force: valid ones are taken, wrong ones are refused, also across a restart."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from squire_pipelines.errors import ConfigError
from squire_pipelines.home import Home
from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.reloading.process_status import ask_for_reload
from squire_pipelines.settings.model import Settings
from tests.support.settings_files import VALID, WRONG, SettingsLab


def home_at(root: Path) -> Home:
    return Home(config=root, data=root, cache=root / "cache", state=root)


@pytest.fixture
def lab(tmp_path: Path) -> SettingsLab:
    return SettingsLab(home_at(tmp_path / "home"))


def slots(in_force: SettingsInForce) -> int:
    return in_force.settings.dispatch.max_concurrent


def test_a_changed_file_is_taken_at_the_next_look(lab: SettingsLab) -> None:
    lab.write(VALID.format(3))
    in_force = lab.start()
    first = in_force.state
    lab.write(VALID.format(4))
    state = in_force.check()
    assert (slots(in_force), state.version != first.version, state.refusal) == (4, True, None)
    assert [settings.dispatch.max_concurrent for settings in lab.taken] == [3, 4]
    assert in_force.check() is state
    assert in_force.at_start.dispatch.max_concurrent == 3


@pytest.mark.parametrize("content", [WRONG, "", "this is no TOML [", "\N{LATIN SMALL LETTER E WITH ACUTE} = "])
def test_a_wrong_file_is_refused_with_its_reason_and_the_old_one_holds(lab: SettingsLab, content: str) -> None:
    lab.write(VALID.format(3))
    in_force = lab.start()
    lab.write(content)
    state = in_force.check()
    assert slots(in_force) == 3
    assert state.refusal is not None
    assert str(lab.path) in state.refusal.reason
    assert in_force.check().refusal == state.refusal
    lab.write(VALID.format(3))
    assert in_force.check().refusal is None  # what holds is what the file says again
    assert len(lab.taken) == 1


def test_a_refusal_is_logged_once_until_it_changes_and_again_each_hour(
    lab: SettingsLab, caplog: pytest.LogCaptureFixture
) -> None:
    def logged_after(*, looks: int, seconds: float) -> int:
        caplog.clear()
        for _ in range(looks):
            lab.now += seconds
            in_force.check()
        return sum("settings refused" in record.getMessage() for record in caplog.records)

    lab.write(VALID.format(3))
    in_force = lab.start()
    lab.write(WRONG)
    assert logged_after(looks=100, seconds=20) == 1
    assert logged_after(looks=1, seconds=3600) == 1
    lab.write(WRONG.replace("0", "-1"))
    assert logged_after(looks=2, seconds=20) == 1
    in_force = lab.start()  # another process, which says so for itself
    assert logged_after(looks=2, seconds=20) == 0


def test_a_copy_names_files_of_goals_from_the_folder_of_the_original(lab: SettingsLab) -> None:
    lab.write('[planner]\ngoals = ["./goals.md"]\n')
    lab.start()
    lab.write(WRONG)
    settings = lab.start().settings
    assert settings.planner.goals == (lab.path.parent / "goals.md",)


def test_a_removed_file_is_refused_and_a_moment_without_one_is_not_seen(lab: SettingsLab) -> None:
    lab.write(VALID.format(3))
    in_force = lab.start()
    lab.path.unlink()
    assert in_force.check().refusal is None
    lab.now += 1
    refusal = in_force.check().refusal
    assert refusal is not None
    assert "does not exist" in refusal.reason
    assert str(in_force.last_good.path) in refusal.reason
    assert slots(in_force) == 3


def test_a_process_that_starts_with_a_wrong_file_has_the_last_good_one(lab: SettingsLab) -> None:
    lab.write(VALID.format(3))
    version = lab.start().state.version
    copy = lab.home.settings_state
    assert {stat.S_IMODE(path.stat().st_mode) for path in copy.glob("last-good-*.toml")} == {0o600}
    for is_gone in (False, True):
        lab.write(WRONG)
        if is_gone:
            lab.path.unlink()
        state = lab.start().state
        assert (state.settings.dispatch.max_concurrent, state.version) == (3, version)
        assert state.refusal is not None


def test_a_link_that_leads_to_another_file_keeps_its_last_good_copy(lab: SettingsLab, tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(VALID.format(3))
    second.write_text(WRONG)
    lab.path.parent.mkdir(parents=True, exist_ok=True)
    lab.path.symlink_to(first)
    lab.start()
    lab.path.unlink()
    lab.path.symlink_to(second)
    lab.now += 1
    restarted = lab.start()
    assert slots(restarted) == 3
    assert restarted.state.refusal is not None
    lab.path.unlink()
    lab.path.symlink_to(tmp_path / "gone.toml")
    assert slots(lab.start()) == 3


def test_a_wrong_file_is_told_at_once_where_nothing_was_valid_before(lab: SettingsLab) -> None:
    lab.write(WRONG)
    with pytest.raises(ConfigError, match=r"dispatch\.max_concurrent"):
        lab.start()


def test_a_file_that_is_half_written_is_not_read(lab: SettingsLab) -> None:
    lab.write(VALID.format(3))
    in_force = lab.start()
    before = in_force.state
    lab.write_now("# valid, and nothing of it is meant\n")
    assert in_force.check() == before
    lab.now += 0.3
    lab.write_now(VALID.format(5))
    in_force.check()
    assert slots(in_force) == 3
    in_force.check(wait_s=1)  # as a tick does
    assert slots(in_force) == 5


def test_a_tick_waits_for_a_writer_within_a_bound(lab: SettingsLab) -> None:
    lab.write(VALID.format(3))
    in_force = lab.start()
    lab.now -= 10_000  # the file is from the future: its own time says nothing
    lab.path.write_text(VALID.format(4), encoding="utf-8")
    in_force.check(wait_s=0.3)
    assert (slots(in_force), lab.sleeps in {3, 4}) == (3, True)
    in_force.check(wait_s=0.3)
    assert slots(in_force) == 4


def test_variables_count_as_changes_too(lab: SettingsLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write(VALID.format(3))
    in_force = lab.start()
    monkeypatch.setenv("SQUIRE_DISPATCH__MAX_CONCURRENT", "7")
    in_force.check()
    assert slots(in_force) == 7


def test_what_was_refused_for_something_else_is_tried_again(lab: SettingsLab, tmp_path: Path) -> None:
    lab.write(VALID.format(3))
    in_force = lab.start()
    skill = tmp_path / "skill"
    lab.write(VALID.format(4) + f'[agent]\nskills = ["{skill}"]\n')
    assert in_force.check().refusal is not None
    skill.mkdir()
    (skill / "SKILL.md").write_text("# A skill\n", encoding="utf-8")
    assert in_force.check().refusal is not None
    lab.now += 60
    assert (in_force.check().refusal, slots(in_force)) == (None, 4)


@pytest.mark.parametrize("ask", ["signal", "command"])
def test_a_look_that_was_asked_for_says_that_it_was_made(lab: SettingsLab, ask: str) -> None:
    lab.write(VALID.format(3))
    in_force = lab.start()
    before = in_force.state
    if ask == "signal":
        in_force.ask()
    else:
        ask_for_reload(lab.home)
    after = in_force.check()
    assert (after.asked, after.hang_ups) != (before.asked, before.hang_ups)
    assert (after.version, after.taken_at, after.refusal) == (before.version, before.taken_at, None)


def test_a_late_process_does_not_put_an_older_file_over_the_last_good_one(lab: SettingsLab) -> None:
    lab.write(VALID.format(3))
    late = lab.start().last_good
    old = late.read()
    assert old is not None
    lab.write(VALID.format(4))
    lab.start()
    late.keep(old.file, is_current=lambda: False)
    kept, previous = late.read(), late.read_previous()
    assert kept is not None
    assert kept.file.values["dispatch"]["max_concurrent"] == 4
    assert previous is not None
    assert previous.version == old.version


def test_a_home_that_cannot_be_written_changes_nothing_else(lab: SettingsLab) -> None:
    lab.write(VALID.format(3))
    lab.home.settings_state.write_text("a file where the folder belongs", encoding="utf-8")
    in_force = lab.start()
    lab.write(VALID.format(4))
    in_force.check()
    assert slots(in_force) == 4


@hypothesis_settings(max_examples=15)
@given(st.lists(st.one_of(st.integers(1, 9), st.sampled_from(["wrong", "gone", "restart"])), max_size=8))
def test_whatever_happens_to_the_file_the_last_valid_one_holds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | str]
) -> None:
    lab = SettingsLab(home_at(tmp_path_factory.mktemp("home")))
    lab.write(VALID.format(1))
    in_force, valid, is_valid = lab.start(), 1, True
    for step in steps:
        if step == "restart":
            in_force = lab.start()
        elif step == "wrong":
            lab.write(WRONG)
            is_valid = False
        elif step == "gone":
            lab.path.unlink(missing_ok=True)
            is_valid = False
        else:
            lab.write(VALID.format(step))
            valid, is_valid = int(step), True
        in_force.check()
        lab.now += 1  # a file that is gone has been so for a while
        state = in_force.check()
        assert (slots(in_force), state.refusal is None) == (valid, is_valid)


def test_settings_of_no_file_hold_until_there_is_one(lab: SettingsLab) -> None:
    in_force = lab.start()
    assert (in_force.settings, in_force.state.version) == (Settings(), "none")
    with pytest.raises(ConfigError, match="does not exist"):
        lab.start(is_named=True)
    lab.write(VALID.format(3))
    in_force.check()
    assert slots(in_force) == 3
