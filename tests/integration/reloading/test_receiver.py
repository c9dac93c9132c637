"""The receiver while its settings change: it takes valid ones, goes on with the old ones else, and refuses nothing."""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from squire_pipelines.home import Home
from squire_pipelines.reloading.process_status import ProcessStatus, ask_for_reload, read_statuses
from tests.support.deliveries import SECRET, ReceiverProcess
from tests.support.delivery_stream import DeliveryStream, is_relevant
from tests.support.ledgers import sqlite_ledger_file
from tests.support.settings_files import WRONG, write_settled

PATIENCE_S = 60.0
OTHER_SECRET = b"another secret of the same webhook"


class Receiver:
    """A receiver's process on a home with a settings' file."""

    def __init__(self, home: Path) -> None:
        self.path = home / "config.toml"
        self.home = Home(config=home, data=home, cache=home / "cache", state=home)
        self.secret = home / "webhook-secret"
        self.secret.write_bytes(SECRET)
        self.numbers = itertools.count()

    def write(self, *repositories: str, more: str = "") -> None:
        names = ", ".join(f'"{name}"' for name in repositories)
        write_settled(self.path, f"repositories = [{names}]\n{more}")

    def start(self) -> ReceiverProcess:
        # Nobody reads its output, in which a line for each delivery would fill the pipe.
        more = {"SQUIRE_WEBHOOK_SECRET_FILE": str(self.secret), "SQUIRE_LOGGING__LEVEL": "error"}
        environment = ReceiverProcess.environment(self.home.data, **more)
        for name in ("SQUIRE_WEBHOOK_SECRET", "SQUIRE_REPOSITORIES"):
            environment.pop(name)
        self.process = ReceiverProcess.of(environment)
        return self.process

    def knows(self, repository: str, *, secret: bytes = SECRET) -> bool | None:
        return is_relevant(self.process.url, repository, number=next(self.numbers), secret=secret)

    @property
    def status(self) -> ProcessStatus:
        (status,) = read_statuses(self.home)
        return status

    def wait(self, happened: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert self.process.process.poll() is None
            assert time.monotonic() < deadline, self.status
            time.sleep(0.05)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    sqlite_ledger_file(home / "ledger.sqlite")
    made = Receiver(home)
    made.write("acme/shop")
    made.start()
    yield made
    made.process.end()


@pytest.mark.slow
def test_the_receiver_takes_what_is_valid_keeps_it_else_and_refuses_no_delivery(receiver: Receiver) -> None:
    with DeliveryStream(receiver.process.url) as stream:
        assert receiver.knows("acme/shop") is True
        assert receiver.knows("acme/new") is False
        receiver.write("acme/shop", "acme/new")
        receiver.wait(lambda: receiver.knows("acme/new"))

        receiver.path.write_text("repositories = [", encoding="utf-8")
        receiver.wait(lambda: receiver.status.reason)
        assert "is not valid TOML" in receiver.status.reason
        assert receiver.knows("acme/new") is True

        receiver.path.unlink()
        receiver.wait(lambda: "does not exist" in receiver.status.reason)
        assert receiver.knows("acme/new") is True

        receiver.write("acme/new", more="[webhooks]\nmax_body = 1000\n")
        receiver.wait(lambda: receiver.status.restart == ("webhooks.max_body",))
        assert receiver.status.reason == ""
        assert receiver.knows("acme/shop") is False

        for _ in range(3):
            os.kill(receiver.process.pid, signal.SIGHUP)
        request = ask_for_reload(receiver.home)
        receiver.wait(lambda: receiver.status.asked == request)
    assert stream.problems == []
    assert stream.accepted > 0


@pytest.mark.slow
def test_a_receiver_that_starts_with_a_wrong_file_has_the_last_good_one_and_a_rotated_secret_is_taken(
    receiver: Receiver,
) -> None:
    version = receiver.status.version
    receiver.process.process.send_signal(signal.SIGTERM)
    assert receiver.process.process.wait(30) == 0
    receiver.process.end()
    assert read_statuses(receiver.home) == ()
    receiver.path.write_text(WRONG, encoding="utf-8")
    receiver.start()
    assert receiver.knows("acme/shop") is True
    assert (receiver.status.version, "dispatch.max_concurrent" in receiver.status.reason) == (version, True)

    receiver.secret.write_bytes(OTHER_SECRET)
    receiver.wait(lambda: receiver.knows("acme/shop", secret=OTHER_SECRET))
    assert receiver.knows("acme/shop") is None
    receiver.secret.unlink()
    receiver.wait(lambda: receiver.status.problem)
    assert receiver.knows("acme/shop", secret=OTHER_SECRET) is True

    receiver.process.process.kill()
    receiver.process.process.wait(30)
    assert read_statuses(receiver.home) == ()  # its file is there, and nobody has its lock
