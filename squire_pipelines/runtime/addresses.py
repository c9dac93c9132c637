"""The addresses that a person opens: each is said once it answers, or that it does not answer yet."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from squire_pipelines.runtime.ports import is_listening

PATIENCE_S = 60.0
"""So long nothing is said of a server that does not answer; then once."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where one server is.

    Args:
        label: What it is.
        url: What a person opens, or gives to GitHub.
        host: Where it listens.
        port: Likewise.
        process: The process that serves it, whose log says why it does not answer.
    """

    label: str
    url: str
    host: str
    port: int
    process: str


class Addresses:
    """Tells the addresses of servers that have just been started.

    Args:
        say: Tells people, one line at a time.
        connects: Whether something listens at a host and a port.
        monotonic: Seconds.
    """

    def __init__(
        self,
        *,
        say: Callable[[str], None],
        connects: Callable[[str, int], bool] = is_listening,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._connects = connects
        self._monotonic = monotonic
        self._waiting: list[Address] = []
        self._patience_until = 0.0
        self._closing = ""

    def expect(self, addresses: Iterable[Address], *, closing: str = "") -> None:
        """Wait for further servers; `closing` is the line that is said when the last one answers."""
        self._waiting += addresses
        self._patience_until = self._monotonic() + PATIENCE_S
        self._closing = closing

    def look(self) -> None:
        """Say which servers answer by now."""
        if not self._waiting:
            return
        for address in [one for one in self._waiting if self._connects(one.host, one.port)]:
            self._waiting.remove(address)
            self._say(f"{address.label + ':':<10} {address.url}")
        if not self._waiting:
            self._close()
        elif self._monotonic() >= self._patience_until:
            self._patience_until = float("inf")
            for address in self._waiting:
                self._say(f"{address.label + ':':<10} does not answer yet; its log is run/{address.process}.log")

    def _close(self) -> None:
        if self._closing:
            self._say(self._closing)
        self._closing = ""
