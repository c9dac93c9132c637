"""The demo on the containers of deploy/compose: three workers, one of which is killed while its agent works.

Run it by `make compose-demo`, which builds the images. It prints what happens, checks at the end that every task has
one merged pull request and that the work of the killed worker was done by another one, and exits with 1 where that is
not so. `--keep` leaves all containers running for a look at them; `--down` removes them.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "deploy" / "compose"
DATA = ROOT / "build" / "compose-demo"
PROJECT = "squire-demo"
WORKERS = 3
SLOW_AGENT_S = 8
"""How much longer each agent takes here, so that there is something to kill."""

_UP_S = 300.0
_DONE_S = 600.0
_POLL_S = 1.0
_ROLE, _ATTEMPT = "squire.role", "squire.attempt"  # the labels of containers of agents
_MAX_LINES = 40


class DemoFailedError(Exception):
    """The demo did not come to its end; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row of the ledger's attempts."""

    id: str
    task: str
    status: str
    cause: str
    worker: str


class Compose:
    """The command `docker compose`, or `docker-compose` where that is what there is, on the demo's project."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._command = [*_find_compose(), "-p", PROJECT, "-f", str(COMPOSE / "compose.yaml")]
        self._command += ["-f", str(COMPOSE / "demo.yaml")]

    def run(self, *words: str, timeout_s: float = _UP_S, check: bool = True) -> str:
        """Run a subcommand; return its output. Raises DemoFailedError with its last lines when it fails."""
        try:
            done = subprocess.run(
                [*self._command, *words],
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoFailedError(f"`compose {' '.join(words)}` did not end within {timeout_s:.0f} s") from None
        if check and done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-_MAX_LINES:])
            raise DemoFailedError(f"`compose {' '.join(words)}` ended with {done.returncode}:\n{last}")
        return done.stdout

    def squire(self, *words: str, timeout_s: float = 60.0) -> Any:
        """Run a command of Squire's on the steward; return the JSON that it prints."""
        home = f"SQUIRE_HOME={DATA}/homes/steward-$(hostname)"
        line = f"{home} HOME=/tmp squire {' '.join(words)} --json"
        return json.loads(self.run("exec", "-T", "steward", "sh", "-c", line, timeout_s=timeout_s) or "null")

    def rows(self, sql: str) -> list[list[str]]:
        """Return the rows of a query of the ledger, as text."""
        psql = ["psql", "-h", "/tmp", "-U", "squire", "-d", "postgres", "-AtF", "\t", "-c", sql]  # noqa: S108 - in the container
        text = self.run("exec", "-T", "postgres", *psql, timeout_s=60)
        return [line.split("\t") for line in text.splitlines()]


def _find_compose() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=30, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if program := shutil.which("docker-compose"):
        return [program]
    raise DemoFailedError("neither `docker compose` nor `docker-compose` is there: install Docker's plugin compose")


def docker(*words: str) -> str:
    """Run a command of the engine's client; return its output. Raises DemoFailedError."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise DemoFailedError(f"`docker {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def say(line: str) -> None:
    """Print a line of progress at once."""
    print(line, flush=True)


def write_settings(folder: Path) -> None:
    """Write the settings of all containers: those of deploy/compose, with the forge's address and its samples."""
    sys.path.insert(0, str(ROOT / "forge"))
    from squire_forge.samples import build_samples  # noqa: PLC0415 - only where the demo runs

    samples = build_samples(folder / "samples")
    agents = []
    for sample in samples:
        program = ["sh", "-c", f'sleep {SLOW_AGENT_S}; exec "$@"', "agent", *sample.agent_command]
        agents.append(f'[repository."{sample.full_name}".agent]\ncommand = {json.dumps(program)}\n')
    base = (COMPOSE / "config.toml").read_text(encoding="utf-8")
    names = json.dumps([sample.full_name for sample in samples])
    text = base.replace("repositories = []", f"repositories = {names}")
    text = text.replace("file:///var/lib/squire/store", f"file://{folder}/store")
    text += f"""
[github]
api_url = "https://forge:8080/api/v3"

[planner]
kind = "rules"

[agent]
kind = "command"

[dispatch]
# A demo should not wait long after the end of a worker.
retry_base_s = 2
retry_cap_s = 10
lease_s = 20
max_new_pull_requests_per_hour = 1000

[follow]
settling_s = 1

{"".join(agents)}"""
    (folder / "config.toml").write_text(text, encoding="utf-8")


def variables() -> Mapping[str, str]:
    """Return what compose.yaml asks for, all below the demo's folder."""
    socket = os.environ.get("DOCKER_SOCKET", "/var/run/docker.sock")
    return {
        "DEPLOY_UID": str(os.getuid()),
        "DEPLOY_GID": str(os.getgid()),
        "DOCKER_GID": str(Path(socket).stat().st_gid),
        "DEPLOY_DATA": str(DATA),
        "DEPLOY_SECRETS": str(DATA / "secrets"),
        "DEPLOY_CONFIG_FILE": str(DATA / "config.toml"),
        "COMPOSE_HTTP_TIMEOUT": "120",
    }


def prepare(compose: Compose) -> None:
    """Remove what an earlier demo has left, and make the folder anew, with its settings and secrets."""
    compose.run("down", "-v", "-t", "20", check=False)
    if DATA.exists():
        shutil.rmtree(DATA)
    hidden = DATA / "secrets"
    hidden.mkdir(mode=0o700, parents=True)
    (hidden / "github-token").write_text(secrets.token_hex(20), encoding="utf-8")
    write_settings(DATA)
    environment = {**os.environ, **variables()}
    script = [str(COMPOSE / "make-secrets")]
    made = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=60, check=False)
    if made.returncode:
        raise DemoFailedError(f"the secrets could not be made: {made.stderr}")


def wait_for(event: str, is_there: Any, *, limit_s: float) -> Any:
    """Wait until `is_there` returns something true, and return that. Raises DemoFailedError after `limit_s`."""
    deadline, problem = time.monotonic() + limit_s, ""
    while time.monotonic() < deadline:
        try:
            if answer := is_there():
                return answer
        except DemoFailedError as error:  # such as a server that has not started yet
            problem = str(error)
        time.sleep(_POLL_S)
    raise DemoFailedError(f"{event} did not happen within {limit_s:.0f} s\n{problem}")


def attempts(compose: Compose) -> list[Attempt]:
    """Return all attempts, in their order."""
    sql = "SELECT id, task_id, status, coalesce(cause, ''), coalesce(worker, '') FROM attempts ORDER BY queued_at, id"
    return [Attempt(*row) for row in compose.rows(sql)]


def kill_one(compose: Compose) -> Attempt:
    """Kill the process of a worker while its agent works, as the loss of a machine would; return that attempt."""

    def working() -> Attempt | None:
        agents = docker("ps", "--filter", f"label={_ROLE}=agent", "--format", f'{{{{.Label "{_ATTEMPT}"}}}}').split()
        return next((one for one in attempts(compose) if one.id in agents and one.status == "running"), None)

    attempt: Attempt = wait_for("an agent's start", working, limit_s=_UP_S)
    hosts = dict(compose.rows("SELECT name, host FROM workers"))
    container = hosts[attempt.worker].partition(":")[0]  # a container's name for itself is its id
    docker("kill", "--signal", "KILL", container)
    return attempt


def check(compose: Compose, killed: Attempt) -> list[tuple[str, bool, str]]:
    """Return what has to be true at the end: what it is, whether it is, and the numbers behind it."""
    tasks = compose.rows("SELECT id, status FROM tasks ORDER BY id")
    merged = compose.rows("SELECT task_id FROM outcomes WHERE state = 'merged'")
    pulls = compose.rows("SELECT repository, pr_number, count(DISTINCT task_id) FROM outcomes GROUP BY 1, 2")
    all_attempts = attempts(compose)
    again = [one for one in all_attempts if one.task == killed.task]
    others = {one.worker for one in again} - {killed.worker}
    used = {one.worker for one in all_attempts if one.worker}
    open_rows = compose.rows("SELECT count(*) FROM attempts WHERE status <> 'ended'")
    return [
        ("every task succeeded", all(row[1] == "succeeded" for row in tasks) and bool(tasks), f"{len(tasks)} tasks"),
        ("each has one pull request, which is merged", len(merged) == len(tasks), f"{len(merged)} merged"),
        ("no pull request belongs to two tasks", all(row[2] == "1" for row in pulls), f"{len(pulls)} pull requests"),
        ("the killed worker's task was done by another one", bool(others), ", ".join(sorted(others))),
        ("several workers took part", len(used) > 1, ", ".join(sorted(used))),
        ("no attempt is left under way", open_rows == [["0"]], ""),
    ]


def run(*, keep: bool) -> int:
    """Run the demo; return the exit code."""
    compose = Compose(variables())
    prepare(compose)
    began = time.monotonic()
    try:
        say("building the images of Postgres, Redis and the forge")
        compose.run("build", "postgres", "redis", "forge", timeout_s=1200)
        services = ["postgres", "redis", "forge", "steward", "receiver", "board", "worker"]
        say(f"starting {', '.join(services)}; of the last {WORKERS}")
        compose.run("up", "-d", "--scale", f"worker={WORKERS}", *services)
        wait_for(
            "the start of the workers",
            lambda: (
                len(
                    compose.rows(
                        "SELECT name FROM workers WHERE ended_at IS NULL AND 'agent' = ANY"
                        "(ARRAY(SELECT json_array_elements_text(queues)))"
                    )
                )
                == WORKERS
            ),
            limit_s=_UP_S,
        )
        say(f"{WORKERS} workers live after {time.monotonic() - began:.0f} s")
        compose.squire("signals", "collect", timeout_s=_UP_S)
        killed = kill_one(compose)
        say(f"killed the worker {killed.worker}, whose agent worked on {killed.task}")
        wait_for("the end of all tasks", lambda: _is_over(compose), limit_s=_DONE_S)
        wait_for("the merge of all pull requests", lambda: all(one[1] for one in check(compose, killed)), limit_s=120)
        checks = check(compose, killed)
    except DemoFailedError as error:
        say(f"the demo did not come to its end: {error}")
        say(compose.run("logs", "--tail", "30", "steward", "worker", check=False))
        return 1
    finally:
        if not keep:
            compose.run("down", "-v", "-t", "20", check=False)
    for name, is_true, detail in checks:
        say(f"{'✓' if is_true else '✗'} {name}{f' ({detail})' if detail else ''}")
    say(f"done in {time.monotonic() - began:.0f} s")
    if keep:
        say("the forge: https://127.0.0.1:8080   Dagster: http://127.0.0.1:3000   board: http://127.0.0.1:8473")
        say("`make compose-demo ARGS=--down` removes all of it")
    return 0 if all(one[1] for one in checks) else 1


def _is_over(compose: Compose) -> bool:
    rows: Sequence[Sequence[str]] = compose.rows(
        "SELECT count(*), count(*) FILTER (WHERE status IN ('succeeded', 'failed', 'cancelled')) FROM tasks"
    )
    (count, ended), *_ = rows
    return count == ended and count != "0"


def main() -> int:
    """Read the options, and run the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave all containers running at the end")
    parser.add_argument("--down", action="store_true", help="remove what an earlier --keep has left, and nothing else")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.down:
        Compose(variables()).run("down", "-v", "-t", "20")
        return 0
    try:
        return run(keep=options.keep)
    except DemoFailedError as error:
        say(f"squire: error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
