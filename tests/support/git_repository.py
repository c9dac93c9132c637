"""Repositories for tests, made with the real git: an upstream, and an agent's clone that writes bundles."""

import os
import subprocess
from pathlib import Path

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "squire[bot]",
    "GIT_AUTHOR_EMAIL": "squire@users.noreply.github.com",
    "GIT_COMMITTER_NAME": "squire[bot]",
    "GIT_COMMITTER_EMAIL": "squire@users.noreply.github.com",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
    "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
}


def git(cwd: Path, *args: str, stdin: bytes = b"") -> str:
    """Run git in a folder; its standard output, stripped."""
    done = subprocess.run(["git", *args], cwd=cwd, env=_ENVIRONMENT, input=stdin, capture_output=True, check=True)
    return done.stdout.decode(errors="replace").strip()


class Checkout:
    """A working copy in which a test plays a person or an agent."""

    def __init__(self, path: Path, upstream: Path) -> None:
        self.path = path
        git(path.parent, "clone", "--quiet", str(upstream), str(path))

    def git(self, *args: str, stdin: bytes = b"") -> str:
        """Run git in the working copy."""
        return git(self.path, *args, stdin=stdin)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file, making its folders."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def commit(self, message: str = "Change") -> str:
        """Commit everything; the new head."""
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.head()

    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")

    def bundle(self, out: Path, base: str, branch: str) -> Path:
        """Bundle what the branch has beyond `base`."""
        self.git("bundle", "create", "--quiet", str(out), f"{base}..refs/heads/{branch}")
        return out


def make_upstream(path: Path) -> Path:
    """A bare repository with the branch `main` and three files."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--bare", "--initial-branch=main")
    seed = Checkout(path.parent / f"{path.name}-seed", path)
    seed.git("checkout", "--quiet", "-B", "main")
    seed.write("README.md", "# Hello\n")
    seed.write("src/app.py", "def add(a, b):\n    return a - b\n")
    seed.write("AGENTS.md", "Be kind.\n")
    seed.commit("First commit")
    seed.git("push", "--quiet", "origin", "main")
    return path
