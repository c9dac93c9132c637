"""A Docker engine of a test's own, beside the machine's: to be killed, stopped, restarted and filled up.

It has its own socket, data, containerd and network namespace: in the machine's, an engine without a bridge would remove
the bridge of the machine's engine. It needs root, `dockerd` and `unshare`.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import docker

_START_S = 60.0
_START_TRIES = 3


def why_not() -> str | None:
    """Why there can be no engine of a test's own here; None when there can."""
    if os.getuid() != 0:
        return "a second engine needs root"
    missing = [name for name in ("dockerd", "unshare") if shutil.which(name) is None]
    return f"there is no {missing[0]} on the path" if missing else None


class OwnEngine:
    """`with OwnEngine() as engine:` starts one and leaves nothing of it.

    Args:
        data_bytes: The size of its disk, in memory; by default its data lies on the machine's disk.
    """

    def __init__(self, *, data_bytes: int | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sqe-"))
        self.data = self.folder / "data"
        self.data.mkdir()
        self._mounted = data_bytes is not None
        if data_bytes is not None:
            options = f"size={data_bytes}"
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.data)], check=True, capture_output=True
            )
        self._process: subprocess.Popen[bytes] | None = None
        self._options: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/d.sock"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._remove_containers()
        self.stop()
        self._end_containerd()
        for _tried in range(20):
            mounts = [
                line.split()[1]
                for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()
                if line.split()[1].startswith(f"{self.folder}/")
            ]
            if not mounts:
                break
            for mount in reversed(mounts):
                subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *options: str) -> None:
        """Start it, with further options of dockerd's, and wait until it answers."""
        assert self._process is None
        for _ in range(_START_TRIES):  # after a kill its containerd is sometimes not up within dockerd's own patience
            if self._start(options):
                return
            self.stop(signal.SIGKILL)
        raise AssertionError((self.folder / "log").read_text("utf-8")[-2000:])

    def _start(self, options: tuple[str, ...]) -> bool:
        self._options = options
        (self.folder / "pid").unlink(missing_ok=True)
        self._forget_containerd()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--net", "dockerd"),
                    *("-H", self.host, "--data-root", str(self.data), "--exec-root", f"{self.folder}/exec"),
                    *("--pidfile", f"{self.folder}/pid", "--bridge=none", "--iptables=false", "--ip-forward=false"),
                    "--ip-masq=false",
                    *options,
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(Exception):  # whatever a client says of an engine that is not up yet
                client = self.client(2)
                client.close()
                return True
            time.sleep(0.1)
        return False

    def _forget_containerd(self) -> None:
        """A killed dockerd takes its containerd along; the file with its number may then name another process."""
        path = self.folder / "exec" / "containerd" / "containerd.pid"
        with contextlib.suppress(OSError, ValueError):
            command = Path(f"/proc/{int(path.read_text('ascii'))}/cmdline")
            alive = command.exists() and str(self.folder).encode() in command.read_bytes()
            if not alive:
                path.unlink()

    def client(self, timeout_s: int = 30) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.host, version="auto", timeout=timeout_s)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the engine's process; with SIGKILL its containers do not hear of it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)
        self._process = None

    def restart(self, *options: str, number: int = signal.SIGTERM) -> None:
        self.stop(number)
        self.start(*options)

    def run_with(self, *options: str) -> None:
        """Restart it with these options of dockerd's, unless it runs with them."""
        if self._process is None or self._process.poll() is not None or self._options != options:
            self.restart(*options)

    def load(self, image: str) -> None:
        """Copy an image from the machine's engine."""
        save = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
        load = subprocess.run(
            ["docker", "-H", self.host, "load", "-q"], stdin=save.stdout, capture_output=True, text=True, check=False
        )
        assert load.returncode == 0, load.stderr
        assert save.wait(60) == 0

    def fill(self, leave: int = 0) -> Path:
        """Fill its disk; returns the file that does so."""
        path = self.data / "ballast"
        free = shutil.disk_usage(self.data).free - leave
        with path.open("wb") as file, contextlib.suppress(OSError):
            for _ in range(0, free + 2**20, 2**20):
                file.write(b"\0" * 2**20)
        return path

    def _remove_containers(self) -> None:
        with contextlib.suppress(Exception):  # it may be gone, and then containerd is ended below
            if self._process is None:
                self.start()
            client = self.client(20)
            for container in client.containers.list(all=True):
                container.remove(force=True)
            client.close()

    def _end_containerd(self) -> None:
        """A dockerd that was killed leaves its containerd, and that its shims."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if f"{self.folder}/".encode() in command and b"containerd" in command:
                    os.kill(int(entry.name), signal.SIGKILL)
