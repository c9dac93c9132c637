"""Somebody who may push to a repository of the forge."""

from pathlib import Path

from squire_forge.process import ForgeProcess
from tests.support.git_repository import git


class FilePusher:
    """Pushes files to branches of a repository.

    Args:
        forge: Hosts it.
        repository: `owner/name`.
        folder: For a clone.
    """

    def __init__(self, forge: ForgeProcess, repository: str, folder: Path) -> None:
        self.folder = folder
        address = forge.git_url(repository).replace("http://", f"http://x:{forge.token}@")
        git(folder.parent, "clone", "--quiet", address, str(folder))
        self.default_branch = git(folder, "branch", "--show-current")

    def push(self, name: str, text: str | None, *, branch: str | None = None) -> None:
        """Push the file with this text, or without it, to a branch; by default to the default branch."""
        git(self.folder, "checkout", "--quiet", "-B", branch or self.default_branch)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")
        git(self.folder, "add", "--all", "--force")
        git(self.folder, "commit", "--quiet", "-m", f"Change {name}")
        git(self.folder, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch or self.default_branch}")
        if branch is not None:
            git(self.folder, "checkout", "--quiet", self.default_branch)
