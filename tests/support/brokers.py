"""A Redis server of our own on loopback, for tests of the queue."""

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import Self

PASSWORD = "a-password-of-the-broker"


@dataclass
class RedisServer:
    """A server on a loopback port that asks for a password and writes nothing to a disk."""

    program: str
    port: int
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls) -> Self | None:
        """Start one; None where it is not installed."""
        program = shutil.which("redis-server")
        if program is None:
            return None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = cls(program, port)
        server.launch()
        return server

    @property
    def url(self) -> str:
        """As the settings have it, without the password."""
        return f"redis://127.0.0.1:{self.port}/0"

    def launch(self, *options: str) -> None:
        """Start the process again, with nothing in it."""
        words = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        command = [self.program, *words, "--requirepass", PASSWORD, *options]
        nowhere = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("Redis did not start")

    def kill(self) -> None:
        """End the process at once; what it had is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
