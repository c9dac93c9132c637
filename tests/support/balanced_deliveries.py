"""Deliveries that go on while receivers are replaced: each to one of several, and to the next one when it refuses."""

import itertools
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx

from tests.support.deliveries import headers, push

_TIMEOUT_S = 30.0


class BalancedDeliveries:
    """Posts pushes to repositories, one after the other, until the block ends; each until one receiver has taken it.

    Args:
        urls: Of the receivers.
        repositories: That were pushed to, by turns.
        pause_s: Between two tries.
    """

    def __init__(self, urls: Sequence[str], repositories: Sequence[str], *, pause_s: float) -> None:
        self.accepted: list[str] = []
        self.refused = 0
        self._urls = itertools.cycle(urls)
        self._repositories = repositories
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._post_all, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(_TIMEOUT_S)

    def _post_all(self) -> None:
        with httpx.Client(timeout=_TIMEOUT_S) as client:
            for number in itertools.count():
                name = f"b-{number}"
                body = push(self._repositories[number % len(self._repositories)], number=number)
                while not self._is_taken(client, name, body):
                    self.refused += 1
                    if self._stop.wait(self._pause_s):
                        return
                self.accepted.append(name)
                if self._stop.wait(self._pause_s):
                    return

    def _is_taken(self, client: httpx.Client, name: str, body: bytes) -> bool:
        try:
            url = f"{next(self._urls)}/webhooks/github"
            return client.post(url, content=body, headers=headers(body, delivery=name)).is_success
        except httpx.HTTPError:
            return False
