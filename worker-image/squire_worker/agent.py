"""Runs the agent: its command line, its environment, and the relay to the gateway. The host decides which agent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from squire_worker.caches import prepare
from squire_worker.contract import Attempt, Paths, fail, note
from squire_worker.processes import TerminatedError, Termination, capture, kill_group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

RELAY_START_S, VERSION_TIMEOUT_S = 5.0, 20.0
# How long a connection waits for a gateway whose host process has died, until another process goes on with the attempt
# and opens a new one: no shorter than a lease and the time to claim, and no longer than agents wait for an answer.
GATEWAY_WAIT_S, GATEWAY_LOOK_S = 240, 0.2
# Linux refuses a single argument of 128 KiB or more (MAX_ARG_STRLEN).
MAX_PROMPT_BYTES = 120_000
PROMPT = "@SQUIRE_PROMPT@"
# What stands for a longer one, so that a program that reads no standard input still finds it.
LONG_PROMPT = (
    "Your task is too long for a command line. It is in the file {path}, which has {lines} lines. Read that file whole "
    "before you do anything else, a part at a time if you have to, and then do what it says."
)
# Where the image records its agents' versions, by the program's or the agent's name: asking a program may take it 30 s.
VERSIONS = Path("/etc/squire")


class Agent:
    """The agent's command line and environment, and its one run."""

    def __init__(self, paths: Paths, attempt: Attempt, port: int) -> None:
        self.paths, self.attempt = paths, attempt
        kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "DEPLOY_TOKEN")
        self.env = {name: os.environ[name] for name in kept if name in os.environ} | attempt.identity()
        self.env |= {
            "TERM": "dumb",
            "GIT_TERMINAL_PROMPT": "0",
            "SQUIRE_TASK_FILE": str(paths.inbox / "task.json"),
            "SQUIRE_PROMPT_FILE": str(paths.inbox / "prompt.md"),
            "SQUIRE_ATTEMPT_ID": attempt.attempt_id,
            "SQUIRE_REPOSITORY": attempt.repository,
            "SQUIRE_GATEWAY_URL": f"http://127.0.0.1:{port}/v1",
        }
        if (paths.inbox / "skills").is_dir():
            self.env["SQUIRE_SKILLS"] = str(paths.inbox / "skills")
        if (paths.inbox / "evidence").is_dir():
            self.env["SQUIRE_EVIDENCE"] = str(paths.inbox / "evidence")
        self.env |= prepare(Path(self.env.get("HOME", str(paths.work))))
        files = paths.work / "agent"
        # What the host's side calls `Marker`.
        self.values = {
            "@SQUIRE_FILES@": str(files),
            "@SQUIRE_PORT@": str(port),
            "@SQUIRE_IN@": str(paths.inbox),
            "@SQUIRE_OUT@": str(paths.out),
            "@SQUIRE_REPO@": str(paths.repo),
        }
        self.argv = [self._argument(part) for part in attempt.argv]
        self.env |= {name: self._filled(value) for name, value in attempt.environment.items()}
        home = Path(self.env.get("HOME", str(paths.work)))
        for folder, texts in ((files, attempt.files), (home, attempt.home)):
            for name, text in texts.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(self._filled(text), encoding="utf-8")
        self._find()

    def _filled(self, text: str) -> str:
        for marker, value in self.values.items():
            text = text.replace(marker, value)
        return text

    def _argument(self, part: str) -> str:
        if part != PROMPT:
            return self._filled(part)
        prompt = self.paths.read("prompt.md")
        if len(prompt.encode()) <= MAX_PROMPT_BYTES:
            return prompt
        return LONG_PROMPT.format(path=self.paths.inbox / "prompt.md", lines=prompt.count("\n"))

    @contextlib.contextmanager
    def _stdin(self) -> Iterator[IO[bytes] | int]:
        """Yield what the agent reads as standard input: a file without a name, which never makes it wait."""
        text = self.attempt.stdin
        if text is None:
            yield subprocess.DEVNULL
            return
        # The prompt comes last: nothing in it is a mark of ours.
        parts = [self._filled(part) for part in text.split(PROMPT)]
        whole = self.paths.read("prompt.md").join(parts) if len(parts) > 1 else parts[0]
        with tempfile.TemporaryFile(dir=self.paths.work) as file:
            file.write(whole.encode())
            file.seek(0)
            yield file

    def _find(self) -> None:
        """Fails as a shell would, with 127 or 126, when the program cannot be started."""
        program, search = self.argv[0], self.env.get("PATH", os.defpath)
        places = [self.paths.repo] if "/" in program else [Path(place) for place in search.split(os.pathsep)]
        files = [place / program for place in places if (place / program).is_file()]
        if not files:
            fail("agent_not_found", f"{program} was not found; PATH is {search}")
        if not any(os.access(file, os.X_OK) for file in files):
            fail("agent_not_executable", f"{program} is there but not executable")

    def ask_version(self) -> str | None:
        """Return the program's version as the image recorded it, else as it prints it; None where there is none."""
        command = [self._filled(part) for part in self.attempt.version]
        if not command:
            return None
        for name in (command[0], self.attempt.kind):
            recorded = VERSIONS / f"{name}.version"
            if "/" not in command[0] and "/" not in name and recorded.is_file():
                return recorded.read_text(encoding="utf-8").strip()[:100] or None
        try:
            _, output, _ = capture(command, self.env, self.paths.work, VERSION_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            note(f"the agent's version is unknown: {error}")
            return None
        return output[:100] or None

    def run(self, termination: Termination, grace_s: float) -> int:
        """Run it and return its exit code, 128 + n after signal n. Its process group is gone when this returns."""
        note("agent started")
        try:
            with self._stdin() as stdin, termination.deferred():
                process = subprocess.Popen(
                    self.argv, cwd=self.paths.repo, env=self.env, stdin=stdin, start_new_session=True
                )
        except OSError as error:
            # Its interpreter is missing, or it was built for another architecture.
            fail("agent_not_executable", f"{self.argv[0]} cannot be executed: {error.strerror}")
        try:
            termination.check()
            code = process.wait()
        except TerminatedError:
            kill_group(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_s)
            raise
        finally:
            # What it left in the background would go on writing while we commit.
            kill_group(process.pid, signal.SIGKILL)
            process.wait()
        return code if code >= 0 else 128 - code


@contextlib.contextmanager
def relay(gateway: Path, port: int) -> Iterator[None]:
    """Relay 127.0.0.1:port to the gateway's socket while the block runs, if there is such a socket."""
    if not gateway.is_socket():
        yield
        return
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,max-children=64"
    looks = round(GATEWAY_WAIT_S / GATEWAY_LOOK_S)
    connect = f"UNIX-CONNECT:{gateway},retry={looks},interval={GATEWAY_LOOK_S}"
    try:
        process = subprocess.Popen(["socat", listen, connect], stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        fail("relay_failed", f"socat cannot be started: {error.strerror}")
    try:
        deadline = time.monotonic() + RELAY_START_S
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                fail("relay_failed", f"nothing listens on 127.0.0.1:{port}")
            time.sleep(0.02)
        yield
    finally:
        kill_group(process.pid, signal.SIGKILL)
        process.wait()


def listens(port: int) -> bool:
    """Return whether anything accepts connections on the loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
