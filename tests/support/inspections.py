"""Keeps what `docker inspect` says of every container that an engine makes while a block runs, and searches it.

Whoever may ask the engine reads that, and the history of the images: no secret may be in either, in no encoding.
"""

import contextlib
import json
import threading
from collections.abc import Iterable
from typing import Any, Self

import docker

from tests.support.leak_search import text_has

_PATIENCE_S = 300
_JOIN_S = 30


class Inspections:
    """Listens to the engine's events. Each container is inspected when it is made, started and ended.

    `containers` has what was said, by the container's name; it grows as long as the block runs.
    """

    def __init__(self) -> None:
        self.containers: dict[str, list[dict[str, Any]]] = {}
        self._images: set[str] = set()
        self._client = docker.from_env(timeout=_PATIENCE_S)
        filters = {"type": "container", "event": ["create", "start", "die"]}
        # Opened here: what is made from now on is seen.
        self._events: Any = self._client.events(decode=True, filters=filters)
        self._thread = threading.Thread(target=self._listen, name="inspections", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()
        self._thread.join(_JOIN_S)
        self._client.close()

    def _listen(self) -> None:
        with contextlib.closing(docker.from_env(timeout=60)) as client, contextlib.suppress(ValueError, OSError):
            for event in self._events:
                with contextlib.suppress(docker.errors.NotFound):  # it lived for a moment
                    inspection = client.api.inspect_container(event["id"])
                    self.containers.setdefault(inspection["Name"].lstrip("/"), []).append(inspection)
                    self._images.add(inspection["Image"])

    def with_secret(self, values: Iterable[str]) -> list[str]:
        """Return the containers, and the images that they were made of, that tell one of the values."""
        known = tuple(values)
        telling = [name for name, entries in self.containers.items() if text_has(json.dumps(entries), known)]
        with contextlib.closing(docker.from_env(timeout=60)) as client:
            api: Any = client.api
            for image in sorted(self._images):
                with contextlib.suppress(docker.errors.ImageNotFound):  # one of another test's, removed by now
                    history = [api.history(image), api.inspect_image(image)]
                    telling += [image] if text_has(json.dumps(history), known) else []
        return telling
