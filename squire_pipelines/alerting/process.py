"""Alerts in one process: what follows from each look, and the thread that sends."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from squire_pipelines.alerting.alert_lock import ALERT_LOCK, AlertLock
from squire_pipelines.alerting.sender import AlertSender
from squire_pipelines.alerting.watch import AlertWatch
from squire_pipelines.domain.conditions import Condition
from squire_pipelines.settings.model import Settings


@contextmanager
def alerting(settings: Callable[[], Settings]) -> Iterator[Callable[[Sequence[Condition]], None]]:
    """Send alerts within the block; yields what is to be called with the conditions after each look.

    Of several processes of a home one does: another goes on at its next look when that one has ended.
    """
    watch = AlertWatch(settings)
    with (
        closing(AlertLock(settings().home.run / ALERT_LOCK)) as lock,
        AlertSender(settings, watch, may_send=lock.is_ours) as sender,
    ):

        def look(conditions: Sequence[Condition]) -> None:
            if lock.is_ours():
                watch.look(conditions)
                sender.wake()

        yield look
