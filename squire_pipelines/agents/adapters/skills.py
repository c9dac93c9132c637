"""Reads skills: folders of instructions that the settings name, copied into an attempt's inputs.

A copy and not a mount: what the agent reads does not change under it, and nothing of the host's is mounted.
"""

import stat
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.files import open_untrusted
from squire_pipelines.sections.types import SKILL_FILE, check_skill

FOLDER = "skills"
MAX_FILES = 200
MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 4
_MAX_DESCRIPTION = 300
_HINT = f"a skill is a folder of regular files with a {SKILL_FILE} in it"


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill, read whole: its name, what its SKILL.md says it is for, and its files by relative name."""

    name: str
    description: str
    files: tuple[tuple[str, bytes], ...]


def read_skills(paths: tuple[Path, ...]) -> tuple[Skill, ...]:
    """Read every named folder.

    Raises:
        ConfigError: One is missing, holds a link or anything else that is no regular file, or is too large.
    """
    return tuple(_read(path) for path in paths)


def _read(root: Path) -> Skill:
    try:
        check_skill(root)  # it may have changed since the settings were loaded
    except ValueError as error:
        raise _refused(root, f"cannot be used: {error}") from error
    files: list[tuple[str, bytes]] = []
    size = 0
    try:
        for path in _walk(root, root, _MAX_DEPTH):
            data = _bytes(root, path, MAX_BYTES - size)
            size += len(data)
            files.append((path.relative_to(root).as_posix(), data))
            if len(files) > MAX_FILES:
                raise _refused(root, f"has more than {MAX_FILES} files")
    except OSError as error:
        raise _refused(root, f"cannot be read: {error.strerror}") from error
    text = dict(files)[SKILL_FILE]
    return Skill(root.name, _description(text.decode("utf-8", errors="replace")), tuple(sorted(files)))


def _walk(root: Path, folder: Path, depth: int) -> list[Path]:
    files: list[Path] = []
    for path in sorted(folder.iterdir()):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            if depth == 0:
                raise _refused(root, f"is deeper than {_MAX_DEPTH} folders")
            files += _walk(root, path, depth - 1)
        elif stat.S_ISREG(mode):
            files.append(path)
        else:
            raise _refused(root, f"holds {path.relative_to(root)}, which is a link or no regular file")
        if len(files) > MAX_FILES:
            raise _refused(root, f"has more than {MAX_FILES} files")
    return files


def _bytes(root: Path, path: Path, left: int) -> bytes:
    with open_untrusted(path) as file:  # it may have become a link since it was looked at
        data = file.read(left + 1)
    if len(data) > left:
        raise _refused(root, f"has more than {MAX_BYTES} bytes")
    return data


def _refused(root: Path, why: str) -> ConfigError:
    return ConfigError(f"the skill {root} {why}", hint=_HINT, context={"path": str(root)})


def _description(text: str) -> str:
    """Return the front matter's `description`, else the first line that is no heading."""
    lines = [line.strip() for line in text.splitlines()]
    if lines and lines[0] == "---":
        for line in lines[1:30]:
            if line == "---":
                break
            if line.startswith("description:"):
                return line.removeprefix("description:").strip().strip("\"'")[:_MAX_DESCRIPTION]
        lines = lines[lines.index("---", 1) + 1 :] if "---" in lines[1:] else lines[1:]
    return next((line for line in lines if line and not line.startswith("#")), "")[:_MAX_DESCRIPTION]


def write_skills(inbox: Path, skills: tuple[Skill, ...]) -> None:
    """Write skills below `inbox/skills`, for anybody to read. Repeating it is harmless. Raises OSError."""
    if not skills:
        return
    top = inbox / FOLDER
    for skill in skills:
        for name, data in skill.files:
            path = top / skill.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o644)
    for folder in (top, *(path for path in top.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
