"""Alerts in one process: what follows from each look, and the thread that sends."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from squire_pipelines.alerting.sender import AlertSender
from squire_pipelines.alerting.watch import AlertWatch
from squire_pipelines.domain.conditions import Condition
from squire_pipelines.settings.model import Settings


@contextmanager
def alerting(settings: Callable[[], Settings]) -> Iterator[Callable[[Sequence[Condition]], None]]:
    """Send alerts within the block; yields what is to be called with the conditions after each look."""
    watch = AlertWatch(settings)
    with AlertSender(settings, watch) as sender:

        def look(conditions: Sequence[Condition]) -> None:
            watch.look(conditions)
            sender.wake()

        yield look
