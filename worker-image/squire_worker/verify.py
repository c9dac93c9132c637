"""Runs a repository's checks in the clone that the entrypoint made, and writes the result of each.

A program of its own: the host sends it with `checks.json` beside it. What the checks run was written by an agent,
which could forge the result as it could forge the tests: a reviewer has to judge it. Standard library, Python 3.9.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

RESULT = "verification.json"
SETUP = "setup.tar"
TAIL_LINES, TAIL_CHARS = 20, 400


def run(name: str, command: str, timeout_s: float) -> dict[str, object]:
    """Run one command by the shell, with its output on ours; nothing of its process group is left afterwards."""
    sys.stdout.write(f"squire: {name}: {command}\n")
    sys.stdout.flush()
    start, tail, timed_out = time.monotonic(), [], False
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    pid, output = process.pid, process.stdout
    assert output is not None  # noqa: S101 - a pipe was asked for
    # The alarm ends the group, and with it the output that is read here.
    signal.signal(signal.SIGALRM, lambda *_: kill(pid))
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        for line in output:
            sys.stdout.buffer.write(line)
            tail.append(line.decode(errors="replace").rstrip()[:TAIL_CHARS])
            del tail[:-TAIL_LINES]
        code = process.wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        kill(pid)
    seconds = round(time.monotonic() - start, 3)
    timed_out = seconds >= timeout_s and code < 0
    sys.stdout.buffer.flush()
    sys.stdout.write(f"squire: {name}: {'timed out' if timed_out else f'exit code {code}'} after {seconds:.1f} s\n")
    sys.stdout.flush()
    return {
        "name": name,
        "exit_code": code if code >= 0 else 128 - code,
        "timed_out": timed_out,
        "seconds": seconds,
        "tail": tail,
    }


def kill(group: int) -> None:
    """Kill a process group that may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def added_files(repo: Path) -> list[Path]:
    """Return what setup has put into the clone and git does not track: dependencies, build output."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--directory"], cwd=repo, capture_output=True, check=True, timeout=120
    ).stdout
    return [repo / os.fsdecode(name) for name in listed.split(b"\0") if name]


def save(repo: Path, home: Path, target: Path) -> None:
    """Archive what setup made in the clone and in the home."""
    with tarfile.open(target, "w") as archive:
        for path in added_files(repo):
            archive.add(path, arcname=str(Path("repo") / path.relative_to(repo)))
        for path in sorted(home.iterdir()):
            archive.add(path, arcname=str(Path("home") / path.name))


def restore(source: Path, repo: Path, home: Path) -> None:
    """Unpack what `save` archived."""
    places = {"repo": repo, "home": home}
    with tarfile.open(source) as archive:
        for member in archive:
            place, _, rest = member.name.partition("/")
            if rest and place in places:
                member.name = rest
                archive.extract(member, places[place])


def write(out: Path, document: dict[str, object]) -> None:
    """Write the result, whole or not at all."""
    partial = out / f".{RESULT}.part"
    partial.write_text(json.dumps(document), encoding="utf-8")
    partial.replace(out / RESULT)


def main() -> int:
    """Return 0 when all passed; write the result of each in any case."""
    plan = json.loads(Path(__file__).with_name("checks.json").read_text(encoding="utf-8"))
    inbox, out = Path(plan["inbox"]), Path(plan["out"])
    repo, home = Path.cwd(), Path(os.environ.get("HOME", "/home/agent"))
    document: dict[str, object] = {"schema": 1, "setup": None, "checks": []}
    if plan["restore"]:
        restore(inbox / SETUP, repo, home)
    if plan["setup"]:
        setup = run("setup", plan["setup"], plan["setup_timeout_s"])
        document["setup"] = setup
        write(out, document)
        if setup["exit_code"]:
            return 1
    if plan["save"]:
        save(repo, home, out / SETUP)
    results: list[dict[str, object]] = []
    for check in plan["checks"]:
        results.append(run(check["name"], check["command"], plan["timeout_s"]))
        write(out, {**document, "checks": results})
    write(out, {**document, "checks": results})
    return 1 if any(result["exit_code"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
