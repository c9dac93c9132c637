"""Deliveries as GitHub sends them: payloads, headers, signatures; and a receiver in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from squire_pipelines.github.protocol import sign
from squire_pipelines.ledger.inbox import IncomingDelivery, PackedDelivery, RecordedDelivery, store
from squire_pipelines.ledger.store import Ledger

SECRET = b"It's a Secret to Everybody"


def push(repository: str = "acme/shop", *, number: int = 0) -> bytes:
    """The body of a push to a branch; each number gives another body."""
    payload = {"ref": "refs/heads/main", "after": f"{number:040x}", "repository": {"full_name": repository}}
    return json.dumps(payload).encode()


def headers(body: bytes, *, delivery: str = "d-1", event: str = "push", secret: bytes = SECRET) -> dict[str, str]:
    """What GitHub sends along with `body`."""
    return {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Hook-ID": "1",
        "X-Hub-Signature-256": sign(body, secret),
        "User-Agent": "GitHub-Hookshot/0000000",
        "Content-Type": "application/json",
    }


def record_delivery(ledger: Ledger, **fields: Any) -> RecordedDelivery:
    """Store a delivery of these fields, as the receiver does."""
    (recorded,) = store(ledger, [PackedDelivery.of(IncomingDelivery(**fields))])
    return recorded


@dataclass
class ReceiverProcess:
    """`python -m squire_pipelines.webhooks`, ready."""

    process: subprocess.Popen[str]
    url: str
    pid: int

    @staticmethod
    def environment(home: Path, **more: str) -> dict[str, str]:
        """What the process runs with: nothing of the machine's keyring or settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SQUIRE_", "GITHUB_", "GH_"))}
        return kept | {
            "SQUIRE_HOME": str(home),
            "SQUIRE_WEBHOOK_SECRET": SECRET.decode(),
            "SQUIRE_REPOSITORIES": '["acme/shop"]',
            "SQUIRE_WEBHOOKS__PORT": "0",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            **more,
        }

    @staticmethod
    def spawn(
        environment: Mapping[str, str], command: Sequence[str] = ("squire_pipelines.webhooks",)
    ) -> "subprocess.Popen[str]":
        """Start it; it may not become ready."""
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @classmethod
    def start(cls, home: Path, **more: str) -> Self:
        """Start it and wait until it says that it listens."""
        return cls.of(cls.environment(home, **more))

    @classmethod
    def of(cls, environment: Mapping[str, str], command: Sequence[str] = ("squire_pipelines.webhooks",)) -> Self:
        """Start it with an environment or a command of one's own, and wait until it says that it listens."""
        process = cls.spawn(environment, command)
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            _, errors = process.communicate(timeout=10)
            raise AssertionError(f"the receiver did not start: {errors}")
        ready: dict[str, Any] = json.loads(line)
        assert ready["ready"] is True
        return cls(process, ready["url"], ready["pid"])

    def end(self) -> None:
        """Kill it if it still runs, and close its pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=10)
