"""Deliveries that go on while something else happens, with every answer that is not what it should be."""

import itertools
import threading
from types import TracebackType
from typing import Self

import httpx

from tests.support.deliveries import SECRET, headers, push

_TIMEOUT_S = 30.0
_MAX_PROBLEMS = 100


class DeliveryStream:
    """Posts deliveries of a repository, one after the other, until the block ends.

    Args:
        url: The receiver's.
        pause_s: Between two.
        most_problems: After which it stops.
    """

    def __init__(self, url: str, *, pause_s: float = 0.005, most_problems: int = _MAX_PROBLEMS) -> None:
        self.accepted_ids: list[str] = []
        self.problems: list[str] = []
        self._url = url
        self._pause_s = pause_s
        self._most_problems = most_problems
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._post_all, daemon=True)

    @property
    def accepted(self) -> int:
        """How many were accepted."""
        return len(self.accepted_ids)

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
                if self._stop.wait(self._pause_s) or len(self.problems) >= self._most_problems:
                    return
                body = push("stream/others", number=number)
                try:
                    answer = client.post(
                        f"{self._url}/webhooks/github", content=body, headers=headers(body, delivery=f"s-{number}")
                    )
                except httpx.HTTPError as error:
                    self.problems.append(f"{type(error).__name__}: {error}")
                    continue
                if answer.status_code == httpx.codes.ACCEPTED:
                    self.accepted_ids.append(f"s-{number}")
                else:
                    self.problems.append(f"{answer.status_code}: {answer.text[:200]}")


def is_relevant(url: str, repository: str, *, number: int, secret: bytes = SECRET) -> bool | None:
    """Deliver something of a repository; return whether the receiver knows it, None when it refused the delivery."""
    body = push(repository, number=number)
    name = f"p-{repository.replace('/', '-')}-{number}"
    answer = httpx.post(
        f"{url}/webhooks/github", content=body, headers=headers(body, delivery=name, secret=secret), timeout=_TIMEOUT_S
    )
    return bool(answer.json()["relevant"]) if answer.is_success else None
