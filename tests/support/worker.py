"""Inputs for the worker's entrypoint made with real git, and a reader for what it hands out."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from squire_pipelines.agents.adapters.protocol import AgentConfig
from squire_pipelines.agents.adapters.registry import find

ENTRYPOINT = Path(__file__).parents[2] / "worker-image" / "entrypoint.py"
BRANCH = "squire/task-1"
_IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "A Person"), ("EMAIL", "person@example.invalid"))
}


def git(where: Path, *arguments: str) -> str:
    """Runs git as a stranger would: no configuration of this machine. Raises CalledProcessError."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(where),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **_IDENTITY,
    }
    done = subprocess.run(
        ["git", *arguments], cwd=where, env=environment, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


@dataclass(frozen=True)
class Desk:
    """One attempt's folders: `inbox`, `out`, `work` and the `origin` that the bundle was made from."""

    origin: Path
    inbox: Path
    out: Path
    work: Path
    base_sha: str
    attempt: dict[str, Any] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """What the entrypoint gets to see of the world."""
        folders = {"SQUIRE_IN": self.inbox, "SQUIRE_OUT": self.out, "SQUIRE_WORK": self.work, "HOME": self.work}
        return {"PATH": os.environ["PATH"], **{name: str(path) for name, path in folders.items()}, **more}

    def rewrite(self, **changes: Any) -> None:
        """Changes fields of attempt.json; `agent` is merged."""
        document = {**self.attempt, **changes}
        document["agent"] = {**self.attempt["agent"], **changes.get("agent", {})}
        (self.inbox / "attempt.json").write_text(json.dumps(document), encoding="utf-8")

    def result(self) -> dict[str, Any]:
        """result.json."""
        document: dict[str, Any] = json.loads((self.out / "result.json").read_text(encoding="utf-8"))
        return document

    @property
    def has_bundle(self) -> bool:
        """Is there a result.bundle?"""
        return (self.out / "result.bundle").exists()

    def fetched(self) -> Path:
        """A fresh bare clone of the origin into which the result was fetched as `refs/heads/result`."""
        target = self.out.parent / "fetched.git"
        git(self.origin, "clone", "--quiet", "--bare", str(self.origin), str(target))
        git(target, "bundle", "verify", "--quiet", str(self.out / "result.bundle"))
        fetch = ("-c", "transfer.fsckObjects=true", "fetch", "--quiet", str(self.out / "result.bundle"))
        git(target, *fetch, f"refs/heads/{BRANCH}:refs/heads/result")
        return target

    def log(self) -> list[str]:
        """`author: subject` of the commits after the base, oldest first, read from the bundle."""
        span = f"{self.base_sha}..refs/heads/result"
        return git(self.fetched(), "log", "--reverse", "--format=%an: %s", span).splitlines()


def make_desk(
    folder: Path, *, command: list[str] | None = None, model: str | None = None, prompt: str = "Do it."
) -> Desk:
    """A repository with two commits, bundled; a `command` agent, or OpenCode with `model`."""
    kind = find("command" if model is None else "opencode")
    origin, inbox, out, work = (folder / name for name in ("origin", "in", "out", "work"))
    for path in (origin, inbox, out, work):
        path.mkdir(parents=True)
    git(origin, "init", "--quiet", "--initial-branch=main")
    (origin / "README.md").write_text("# Sample\n", encoding="utf-8")
    (origin / ".gitignore").write_text("ignored/\n", encoding="utf-8")
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message=first")
    (origin / "app.py").write_text("import os\n\nprint('hello')\n", encoding="utf-8")
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message=second")
    base_sha = git(origin, "rev-parse", "HEAD")
    git(origin, "bundle", "create", "--quiet", str(inbox / "repo.bundle"), "refs/heads/main")
    (inbox / "task.json").write_text('{"id": "task-1"}', encoding="utf-8")
    (inbox / "prompt.md").write_text(prompt, encoding="utf-8")
    attempt: dict[str, Any] = {
        "schema": 1,
        "attempt_id": "attempt-1",
        "task_id": "task-1",
        "trace_id": "trace-1",
        "repository": "acme/sample",
        "base_ref": "main",
        "base_sha": base_sha,
        "branch": BRANCH,
        "bot_name": "squire-bot",
        "bot_email": "squire-bot@example.invalid",
        "commit_message": "Do the task",
        "agent": {"kind": kind.name, **kind.launch(AgentConfig(tuple(command or ()), model)).document()},
    }
    desk = Desk(origin, inbox, out, work, base_sha, attempt)
    desk.rewrite()
    return desk
