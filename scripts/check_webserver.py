"""Starts Dagster's webserver on workspace.yaml and asks its GraphQL API for everything that the code defines.

Also runs `dg check defs`. Warnings of ours in either output are errors.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from squire_pipelines.definitions import build_defs
from squire_pipelines.settings.model import Settings

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
START_S = 90
QUERY = """
{ repositoriesOrError { ... on RepositoryConnection { nodes {
    assetNodes { assetKey { path } description kinds owners { ... on TeamAssetOwner { team } } }
    jobs { name description isAssetJob }
    sensors { name description sensorState { status } }
    schedules { name description scheduleState { status } }
} } ... on PythonError { message } }
  workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError {
    __typename ... on PythonError { message } } } } } }
"""


def expected() -> dict[str, set[str]]:
    """What the code defines, by the kind of thing; what that has to be is tests/unit/definitions' matter."""
    defs = build_defs(Settings())
    repository = defs.get_repository_def()
    return {
        "assets": {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()},
        "jobs": {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")},
        "sensors": {sensor.name for sensor in repository.sensor_defs},
        "schedules": {schedule.name for schedule in repository.schedule_defs},
    }


def main() -> int:
    """Returns 0 when everything is there."""
    home = Path(tempfile.mkdtemp(prefix="squire-webserver-"))
    environment = {**os.environ, "SQUIRE_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    (home / "dagster").mkdir()
    shutil.copyfile(ROOT / "dagster.yaml", home / "dagster" / "dagster.yaml")
    try:
        problems = [*check_dg(environment), *check_webserver(environment, home / "webserver.log")]
    finally:
        shutil.rmtree(home)
    for problem in problems:
        print(f"squire: error: {problem}", file=sys.stderr)
    if not problems:
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in expected().items())
        print(f"dg and webserver: {counts} as defined, no warning")
    return 1 if problems else 0


def check_dg(environment: dict[str, str]) -> list[str]:
    """`dg check defs` in the project's root."""
    done = subprocess.run(
        [str(BIN / "dg"), "check", "defs"],
        cwd=ROOT,
        env={**environment, "VIRTUAL_ENV": str(BIN.parent), "PATH": f"{BIN}:{environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    output = done.stdout + done.stderr
    if done.returncode:
        return [f"dg check defs failed:\n{output}"]
    return _warnings("dg", output)


def check_webserver(environment: dict[str, str], log: Path) -> list[str]:
    """The real webserver and its GraphQL API."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [str(BIN / "dagster-webserver"), "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            answer = _ask(f"http://127.0.0.1:{port}/graphql", server)
        finally:
            server.terminate()
            server.wait(timeout=30)
    output = log.read_text(errors="replace")
    if answer is None:
        return [f"the webserver did not answer in {START_S} s:\n{output}"]
    return [*_compare(answer), *_warnings("webserver", output)]


def _ask(url: str, server: "subprocess.Popen[bytes]") -> dict[str, object] | None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            response = httpx.post(url, json={"query": QUERY}, timeout=30, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.5)
            continue
        return dict(response.json())
    return None


def _compare(answer: dict[str, object]) -> list[str]:
    data = answer.get("data")
    if not isinstance(data, dict) or "nodes" not in data["repositoriesOrError"] or answer.get("errors"):
        return [f"the answer holds no repository: {answer}"]
    problems = []
    repositories = data["repositoriesOrError"]["nodes"]
    if len(repositories) != 1:
        return [f"{len(repositories)} repositories: {data['workspaceOrError']}"]
    node = repositories[0]
    shown = {
        "assets": {"/".join(asset["assetKey"]["path"]) for asset in node["assetNodes"]},
        "jobs": {job["name"] for job in node["jobs"] if not job["name"].startswith("__")},
        "sensors": {sensor["name"] for sensor in node["sensors"]},
        "schedules": {schedule["name"] for schedule in node["schedules"]},
    }
    for part, names in expected().items():
        there = shown[part]
        if names != there:
            problems.append(f"{part}: missing {sorted(names - there)}, unexpected {sorted(there - names)}")
    for kind in ("assetNodes", "jobs", "sensors", "schedules"):
        problems += [f"no description: {item}" for item in node[kind] if not _described(item)]
    problems += [
        f"no kinds or owners: {asset}" for asset in node["assetNodes"] if not (asset["kinds"] and asset["owners"])
    ]
    running = [*(sensor["sensorState"]["status"] for sensor in node["sensors"])]
    if set(running) != {"RUNNING"}:
        problems.append(f"a sensor does not run by default: {running}")
    return problems


def _described(node: dict[str, object]) -> bool:
    return bool(node["description"]) or str(node.get("name", "")).startswith("__")


def _warnings(name: str, output: str) -> list[str]:
    lines = [line for line in output.splitlines() if "Warning" in line or "WARNING" in line]
    return [f"{name} warns: {line}" for line in lines]


if __name__ == "__main__":
    sys.exit(main())
