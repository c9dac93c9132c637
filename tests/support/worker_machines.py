"""A steward and workers as if on machines of their own: a home for each, one Postgres, one broker, one store of files.

`python -m tests.support.worker_machines` is the steward's process: the daemon and the worker of its own runs.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from squire_pipelines.runtime.processes import interruptible
from squire_pipelines.runtime.services import Services
from squire_pipelines.settings.model import load_settings
from tests.support.brokers import PASSWORD, RedisServer
from tests.support.deliveries import SECRET
from tests.support.figures import ROOT
from tests.support.leak_search import processes_with

LOST_AFTER_S = 4.0
_GRACE_S = 60.0
_STEWARD = "tests.support.worker_machines"
_FORKED = "multiprocessing.forkserver"


@dataclass
class Machines:
    """The homes below a folder, and the processes of each.

    Args:
        folder: Gets the homes and the store.
        ledger_url: Of a database on Postgres.
        broker: Carries the runs.
        api_url: Of the forge.
        token: For it.
        repositories: That are worked on.
        command: The agent's.
        runners: Which machines' agents run in another way than as a process of the machine.
    """

    folder: Path
    ledger_url: str
    broker: RedisServer
    api_url: str
    token: str
    repositories: Sequence[str]
    command: Sequence[str]
    runners: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def home(self, name: str) -> Path:
        """The home of a machine, with its settings."""
        home = self.folder / name
        if not home.exists():
            home.mkdir(mode=0o700)
            (self.folder / "store").mkdir(exist_ok=True)
            names, words = (", ".join(f'"{word}"' for word in some) for some in (self.repositories, self.command))
            (home / "config.toml").write_text(
                f"""repositories = [{names}]
ledger_url = "{self.ledger_url}"
[files]
url = "file://{self.folder / "store"}"
[workers]
broker_url = "{self.broker.url}"
heartbeat_s = 0.5
lost_after_s = {LOST_AFTER_S}
resend_after_s = 5
[github]
api_url = "{self.api_url}"
min_write_interval_s = 0
[collection]
schedule = "0 0 1 1 *"
[planner]
kind = "rules"
[dispatch]
max_concurrent = 50
max_per_repository = 20
max_open_pull_requests = 1000
max_new_pull_requests_per_hour = 1000
lease_s = 6
retry_base_s = 1
retry_cap_s = 2
max_attempts = 10
claim_deadline_s = 30
[agent]
kind = "command"
runner = "{self.runners.get(name, "local")}"
command = [{words}]
""",
                encoding="utf-8",
            )
        return home

    def start(self, name: str, *words: str, code: Path = ROOT) -> None:
        """Start a machine's process: a worker's with the words of its command, the steward's without any."""
        self._start(name, ["squire_pipelines.cli", "worker", "--name", name, *words] if words else [_STEWARD], code)

    def start_receiver(self, name: str, port: int, *, code: Path = ROOT) -> None:
        """Start a receiver of deliveries."""
        self._start(name, ["squire_pipelines.cli", "webhooks", "serve", "--port", str(port)], code)

    def run(self, name: str, *words: str, code: Path = ROOT) -> str:
        """Run a command of Squire's on a machine; return what it wrote."""
        command = [sys.executable, "-m", "squire_pipelines.cli", *words]
        variables = self._variables(name, code)
        done = subprocess.run(
            command, cwd=code, env=variables, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise AssertionError(f"`squire {' '.join(words)}` ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def _start(self, name: str, module: Sequence[str], code: Path) -> None:
        if name in self.processes:
            self.processes[name].wait(_GRACE_S)  # it was killed
        command, variables = [sys.executable, "-m", *module], self._variables(name, code)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=code, env=variables, stdout=log, stderr=log, start_new_session=True
            )

    def _variables(self, name: str, code: Path) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(code),
            "SQUIRE_HOME": str(self.home(name)),
            "SQUIRE_MACHINE": name,
            "SQUIRE_BROKER_KEY": PASSWORD,
            "SQUIRE_GITHUB_TOKEN": self.token,
            "SQUIRE_WEBHOOK_SECRET": SECRET.decode(),
        }

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a machine's first process alone."""
        with suppress(ProcessLookupError):
            self.processes[name].send_signal(number)

    def signal_all(self, name: str, number: int) -> None:
        """Send a signal to all processes of a machine, as its end or its suspension does."""
        for _ in range(20):
            living = self.processes_of(name)
            for pid in living:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if number != signal.SIGKILL or not living:
                return
            time.sleep(0.05)

    def processes_of(self, name: str) -> dict[int, str]:
        """The command lines of a machine's processes, by id."""
        return processes_with([str(self.folder / name)])

    def runs_of(self, name: str) -> tuple[int, ...]:
        """The processes of a worker's runs, which begin sessions of their own and are forked from its fork server."""
        living = self.processes_of(name)
        return tuple(pid for pid, command in living.items() if _FORKED in command and _leads_session(pid))

    def stop(self) -> None:
        """Have all of them end; what has not within a minute is killed."""
        for name in self.processes:
            self.signal(name, signal.SIGTERM)
        for name, process in self.processes.items():
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self.signal_all(name, signal.SIGKILL)

    def kill(self) -> None:
        """End everything at once."""
        for name, process in self.processes.items():
            self.signal_all(name, signal.SIGKILL)
            process.wait(_GRACE_S)

    def tail(self) -> str:
        """The end of what each wrote."""
        logs = [*self.folder.glob("*.log"), *self.folder.glob("*/run/*.log")]
        return "\n".join(f"── {log}\n{log.read_text('utf-8', errors='replace')[-2500:]}" for log in sorted(logs))


def _leads_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def main() -> None:
    """Run the daemon and its worker until a signal."""
    settings = load_settings()
    with (
        interruptible() as check_interrupt,
        Services(settings, say=lambda text: print(text, flush=True)) as services,  # noqa: T201 - its log
        suppress(KeyboardInterrupt),
    ):
        services.start_daemon()
        while True:
            time.sleep(0.2)
            check_interrupt()
            services.keep_up(gives_up=False)


if __name__ == "__main__":
    main()
