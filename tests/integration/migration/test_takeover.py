"""A home of the old product is taken over and restored, whatever is killed or fails on the way."""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import keyring
import keyring.backend
import pytest

from squire_pipelines.errors import ConfigError, SquireError
from squire_pipelines.migration.leftovers import find_leftovers
from squire_pipelines.migration.record import records_in
from tests.support.old_homes import FILES, SECRETS, TOKEN, OldHome, kill_migrations, run_killed
from tests.support.secret_store_faults import passphrase


@pytest.fixture
def old(tmp_path: Path) -> OldHome:
    """A home of the old product, and an encrypted file that this process has opened."""
    home = OldHome(tmp_path)
    home.write()
    home.sources.store.unlock(passphrase())
    return home


class StepRecorder:
    """Remembers the steps, and does something before one of them."""

    def __init__(self, number: int = 0, action: Callable[[], None] = lambda: None) -> None:
        self.steps: list[str] = []
        self._number, self._action = number, action

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if len(self.steps) == self._number:
            self._action()


def test_what_was_taken_over_is_sealed_and_in_no_plain_text_and_is_restored_byte_for_byte(old: OldHome) -> None:
    takeover = old.takeover()
    file, notes = takeover.begin(old.plan(), old.config)
    assert notes == []
    assert old.is_new()
    assert old.plain_texts() == []
    assert not (old.root / "user/.squire/config.json").exists()
    assert (old.root / "work/.env").read_bytes() == (
        b"DATABASE_URL='postgres://a:b@c/d'\n\nSQUIRE_MODEL=openai/gpt-5\nNAME=\xe9"
    )
    assert (old.root / "work/.env").stat().st_mode & 0o777 == 0o600
    assert b'slack: {webhook: ""} # x' in (old.root / "work/steward.yaml").read_bytes()
    assert "\n[planner]\n# goals stay\nmodel = " in old.config.text
    assert old.plan().is_empty
    assert find_leftovers(old.home, old.root / "work", old.config, user_home=old.root / "user") == []
    assert takeover.undo(file) == []
    assert old.settle(forward=False) == []
    assert old.home.config_file.stat().st_mode & 0o777 == 0o640


def _steps(old: OldHome, *, undo: bool) -> list[str]:
    recorder = StepRecorder()
    takeover = old.takeover(recorder)
    file, _ = takeover.begin(old.plan(), old.config)
    forward = list(recorder.steps)
    takeover.undo(file)
    return recorder.steps[len(forward) :] if undo else forward


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("forward", [True, False])
def test_a_kill_at_any_step_leaves_a_whole_state_which_the_next_run_settles(
    old: OldHome, *, undo: bool, forward: bool
) -> None:
    steps = _steps(old, undo=undo)
    plan, config = old.plan(), old.config
    for number in range(1, len(steps) + 1):
        dying = StepRecorder(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
        if undo:
            file, _ = old.takeover().begin(plan, config)
            run_killed(lambda file=file, dying=dying: old.takeover(dying).undo(file))  # type: ignore[misc]
        else:
            run_killed(lambda dying=dying: old.takeover(dying).begin(plan, config))  # type: ignore[misc]
        assert old.problems() == [], steps[number - 1]
        assert old.settle(forward=forward) == [], steps[number - 1]
        assert old.settle(forward=False) == [], steps[number - 1]


def test_a_few_kills_at_any_moment_leave_a_whole_state(tmp_path: Path) -> None:
    report = kill_migrations(tmp_path, 26, seed=3)
    assert report.problems == []


def test_an_interrupted_migration_is_told(old: OldHome) -> None:
    dying = StepRecorder(4, lambda: os.kill(os.getpid(), signal.SIGKILL))
    run_killed(lambda: old.takeover(dying).begin(old.plan(), old.config))
    first, *_ = find_leftovers(old.home, old.root / "work", old.config, user_home=old.root / "user")
    assert "was interrupted" in first.message
    assert "squire migrate --rollback" in first.step


def _full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_before_plain_text_is_removed_leaves_nothing_changed(old: OldHome) -> None:
    steps = _steps(old, undo=False)
    for step in ("seal github-token", "seal webhook-secret", "settings", "verify"):
        full = StepRecorder(steps.index(step) + 1, _full)
        with pytest.raises(ConfigError, match=r"nothing was changed: .*No space left"):
            old.takeover(full).begin(old.plan(), old.config)
        assert records_in(old.home.migrations) == ()
        assert old.settle(forward=False) == []


def test_a_full_disk_while_plain_text_is_removed_leaves_the_new_state_which_the_next_run_finishes(old: OldHome) -> None:
    steps = _steps(old, undo=False)
    full = StepRecorder(len(steps) - 1, _full)
    with pytest.raises(ConfigError, match=r"not finished: .*No space left") as refusal:
        old.takeover(full).begin(old.plan(), old.config)
    assert "squire migrate" in refusal.value.hint
    assert old.is_new()
    assert old.settle(forward=True) == []


def test_what_changed_since_is_not_lost_by_a_rollback(old: OldHome) -> None:
    file, _ = old.takeover().begin(old.plan(), old.config)
    (old.root / "work/.env").write_text("MINE=1\n")
    old.home.config_file.write_text("# quite another\n")
    old.sources.store.change(lambda values: values.update({"github-token": "a newer one"}))
    notes = old.takeover().undo(file)
    assert old.is_old()
    assert (old.root / "work/.env.changed-1").read_text() == "MINE=1\n"
    assert old.home.config_file.read_text() == "# quite another\n"
    assert old.sources.store.read() == {"github-token": "a newer one"}
    assert len(notes) == 3


def test_what_changed_between_a_crash_and_the_next_run_stays_as_it_is(old: OldHome) -> None:
    steps = _steps(old, undo=False)
    dying = StepRecorder(steps.index("verify") + 1, lambda: os.kill(os.getpid(), signal.SIGKILL))
    run_killed(lambda: old.takeover(dying).begin(old.plan(), old.config))
    (old.root / "work/.env").write_text(f"MINE=1\nGITHUB_TOKEN={TOKEN}\n")
    old.home.config_file.write_text("[dispatch]\nmax_concurrent = 2\n")
    (file,) = records_in(old.home.migrations)
    _, notes = old.takeover().finish(file)
    assert notes == [f"{old.root / 'work/.env'} was changed meanwhile, and stays as it is: run the command again"]
    assert [edit.path.name for edit in old.plan().edits] == [".env"]
    assert old.config.values["planner"]["model"] == "openai/gpt-4o-mini"


def test_a_secret_that_squire_keeps_already_stays(old: OldHome) -> None:
    old.sources.store.change(lambda values: values.update({"github-token": "a newer one"}))
    file, _ = old.takeover().begin(old.plan(), old.config)
    assert old.sources.store.read() == {**SECRETS, "github-token": "a newer one"}
    assert old.plain_texts() == []
    old.takeover().undo(file)
    assert old.is_old()
    assert old.sources.store.read() == {"github-token": "a newer one"}


def test_a_backup_opens_after_the_passphrase_was_changed_with_the_one_that_held(
    old: OldHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, _ = old.takeover().begin(old.plan(), old.config)
    old.sources.store.change_passphrase(passphrase("another passphrase of a test"))
    with pytest.raises(SquireError, match="sealed with another passphrase"):
        old.takeover().undo(file)
    former = tmp_path / "former"
    former.write_text(passphrase().reveal())
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE_FILE", str(former))
    old.takeover().undo(file)
    assert old.is_old()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to a group that it is not in")
def test_a_file_stays_with_its_group(old: OldHome) -> None:
    path = old.root / "work/.env"
    os.chown(path, -1, 4242)
    path.chmod(0o640)
    file, _ = old.takeover().begin(old.plan(), old.config)
    assert (path.stat().st_gid, path.stat().st_mode & 0o777) == (4242, 0o640)
    old.takeover().undo(file)
    assert (path.stat().st_gid, path.stat().st_mode & 0o777) == (4242, 0o640)


class KeychainInMemory(keyring.backend.KeyringBackend):
    """A keychain that forgets all when the test ends."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library's
        self.values: dict[str, str] = {}

    def get_password(self, service: str, username: str) -> str | None:  # noqa: ARG002 - the library's signature
        """Return an entry."""
        return self.values.get(username)

    def set_password(self, service: str, username: str, password: str) -> None:  # noqa: ARG002 - likewise
        """Keep an entry."""
        self.values[username] = password

    def delete_password(self, service: str, username: str) -> None:  # noqa: ARG002 - likewise
        """Remove an entry."""
        del self.values[username]


def test_with_a_keychain_no_passphrase_is_needed(old: OldHome) -> None:
    old.home.secret_store.unlink()
    ring = KeychainInMemory()
    keyring.set_keyring(ring)
    file, _ = old.takeover().begin(old.plan(), old.config)
    assert {name: ring.values[name] for name in SECRETS} == SECRETS
    assert old.plain_texts() == []
    old.takeover().undo(file)
    assert old.is_old()
    assert set(ring.values) == {"migration-backup"}


def test_the_files_of_the_test_hold_every_secret() -> None:
    plain = b"".join(content for _, content in FILES.values())
    assert all(value.encode() in plain for value in SECRETS.values())
