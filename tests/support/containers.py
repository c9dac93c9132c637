"""Containers that run to their end and say something."""

from typing import Any

import docker


def said_by(engine: docker.DockerClient, image: str, command: list[str], *, timeout_s: int = 120, **more: Any) -> str:
    """What a container said until it ended, which has to be with 0. It has no network, and is removed.

    docker-py's own `run(remove=True)` reads the output after the removal, when a busy engine may have none any more.
    """
    container = engine.containers.create(image, command, network_mode="none", **more)
    try:
        container.start()
        code = container.wait(timeout=timeout_s)["StatusCode"]
        text = container.logs(stderr=False).decode()
        assert code == 0, text + container.logs(stdout=False).decode()
    finally:
        container.remove(force=True)
    return text
