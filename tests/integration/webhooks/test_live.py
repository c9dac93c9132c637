"""What a running receiver takes of a change, without a process of its own: the secret, and which one holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.errors import SecretMissingError
from squire_pipelines.home import Home
from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.reloading.process_status import StatusFile, read_statuses
from squire_pipelines.sections.webhooks import WebhookSettings
from squire_pipelines.settings.restarts import Part
from squire_pipelines.webhooks.live import LiveReceiver
from squire_pipelines.webhooks.signing_secrets import read_signing_secrets
from tests.support.deliveries import SECRET
from tests.support.settings_files import write_settled

OTHER_SECRET = b"another secret of the same webhook"


class Receiver:
    """What serves deliveries, with a settings' file and a file of the secret."""

    def __init__(self, folder: Path, status: StatusFile, home: Home) -> None:
        self.home = home
        self.settings = SettingsInForce(folder / "config.toml", home)
        self.live = LiveReceiver(self.settings, status)
        self.reads = 0
        self.live.on_secret_read = self._count

    def _count(self) -> None:
        self.reads += 1

    def look(self) -> None:
        self.live.follow(self.settings.check())

    @property
    def problem(self) -> str:
        (status,) = read_statuses(self.home)
        return status.problem


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "webhook-secret"
    file.write_bytes(SECRET)
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET_FILE", str(file))
    return file


@pytest.fixture
def receiver(tmp_path: Path, secret: Path) -> Iterator[Receiver]:
    assert secret.exists()
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    home = Home(config=folder, data=folder, cache=folder / "cache", state=folder)
    write_settled(folder / "config.toml", 'repositories = ["acme/shop"]\n')
    with StatusFile(home, Part.RECEIVER) as status:
        yield Receiver(folder, status, home)


def test_a_look_at_what_has_not_changed_reads_no_secret(receiver: Receiver) -> None:
    receiver.look()
    assert (receiver.live.secrets().shared, receiver.reads, receiver.problem) == ((SECRET,), 0, "")


def test_a_rotated_secret_is_taken_at_the_next_look_and_once(receiver: Receiver, secret: Path) -> None:
    secret.write_bytes(OTHER_SECRET)
    assert receiver.live.secrets().shared == (SECRET,)
    receiver.look()
    receiver.look()
    assert (receiver.live.secrets().shared, receiver.reads) == ((OTHER_SECRET,), 1)


def test_a_secret_that_cannot_be_read_any_more_is_told_the_old_one_holds_and_the_next_one_is_taken(
    receiver: Receiver, secret: Path
) -> None:
    secret.unlink()
    receiver.look()
    assert (receiver.live.secrets().shared, receiver.reads) == ((SECRET,), 0)
    assert "the old webhook secret holds" in receiver.problem
    secret.write_bytes(OTHER_SECRET)
    receiver.look()
    assert (receiver.live.secrets().shared, receiver.reads, receiver.problem) == ((OTHER_SECRET,), 1, "")


def test_somebody_who_asks_has_the_secret_read_again_and_changed_repositories_are_known(
    receiver: Receiver, tmp_path: Path
) -> None:
    write_settled(tmp_path / "home" / "config.toml", 'repositories = ["acme/shop", "acme/new"]\n')
    receiver.settings.ask()
    receiver.look()
    assert receiver.reads == 1
    assert set(receiver.live.repositories()) == {"acme/shop", "acme/new"}


def test_the_secrets_of_a_rotation_and_of_a_repository_are_taken_while_it_runs(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET_OLD", "the old secret")
    monkeypatch.setenv("SQUIRE_ACME_HOOK_KEY", "the secret of the shop")
    text = 'repositories = ["acme/shop"]\n[webhooks.secrets]\n"acme/shop" = ["acme-hook-key"]\n'
    write_settled(tmp_path / "home" / "config.toml", text)
    receiver.look()
    secrets = receiver.live.secrets()
    assert secrets.shared == (SECRET, b"the old secret")
    assert secrets.by_repository == {"acme/shop": (b"the secret of the shop",)}
    assert (receiver.live.most_waiting_bytes(), receiver.live.refusals_per_minute()) == (2**30, 60)


def test_a_repositorys_secret_is_enough_and_without_any_none_is_verified(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = receiver.settings.settings.secret_sources
    monkeypatch.delenv("SQUIRE_WEBHOOK_SECRET_FILE")
    monkeypatch.setenv("SQUIRE_ACME_HOOK_KEY", "the secret of the shop")
    own = WebhookSettings(secrets={"acme/shop": ("acme-hook-key",)})
    assert read_signing_secrets(own, sources).all == (b"the secret of the shop",)
    with pytest.raises(SecretMissingError):
        read_signing_secrets(WebhookSettings(), sources)
    monkeypatch.delenv("SQUIRE_ACME_HOOK_KEY")
    with pytest.raises(SecretMissingError, match="acme-hook-key"):
        read_signing_secrets(own, sources)


def test_a_rule_that_the_settings_get_is_taken_while_it_runs(receiver: Receiver) -> None:
    assert receiver.live.judge().rules == ()
    rule = '[[webhooks.filters]]\nname = "no-bots"\nbots = true\n'
    write_settled(
        receiver.home.config_file, f'repositories = ["acme/shop"]\n{rule}[github]\napp_id = "1"\napp_slug = "a"\n'
    )
    receiver.look()
    judge = receiver.live.judge()
    assert [rule.name for rule in judge.rules] == ["no-bots"]
    assert judge.own.login == "a[bot]"
    assert receiver.live.judge() is judge
