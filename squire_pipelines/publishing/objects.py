"""Reads every object that an agent made, for the search for secrets: commits, names of files, and contents.

The agent's own commits are not pushed. They are searched all the same: whoever writes a secret into one means to.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from squire_pipelines.domain.change import Piece
from squire_pipelines.publishing.diff import link_targets, read_objects
from squire_pipelines.publishing.git import GitLimits, run_git

_ID_BYTES = 20
_LINK = b"120000 "
_MODES = frozenset({b"40000", b"100644", b"100664", b"100755", b"120000", b"160000"})


def agent_objects(git_dir: Path, base_sha: str, head_sha: str, limits: GitLimits) -> Iterator[tuple[str, str, bytes]]:
    """Yield id, kind and content of each object beyond the base, also of what was taken away. Raises GitError."""
    listed = run_git(
        ["rev-list", "--objects", "--no-object-names", f"{base_sha}..{head_sha}"], git_dir=git_dir, limits=limits
    )
    yield from read_objects(git_dir, list(dict.fromkeys(listed.decode().split())), limits)


def tree_paths(git_dir: Path, sha: str, limits: GitLimits) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Return the paths of all files of a commit, and path and target of its symbolic links. Raises GitError."""
    listed = run_git(["ls-tree", "-r", "-z", sha], git_dir=git_dir, limits=limits)
    heads, _, paths = (
        zip(*(entry.partition(b"\t") for entry in listed.split(b"\0")[:-1]), strict=True) if listed else ((),) * 3
    )
    names = tuple(path.decode(errors="backslashreplace") for path in paths)
    links = {name: head.split()[2].decode() for name, head in zip(names, heads, strict=True) if head.startswith(_LINK)}
    targets = link_targets(git_dir, sorted(set(links.values())), limits)
    return names, tuple((name, targets[blob]) for name, blob in links.items() if blob in targets)


def odd_modes(tree: bytes) -> Iterator[str]:
    """Yield the modes in a tree that git knows but shows as others: set-user-id, write bits, types that are none."""
    yield from (mode.decode(errors="backslashreplace") for mode, _ in _entries(tree) if mode not in _MODES)


def _entries(tree: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield mode and name of each entry of a tree; 20 bytes of an id follow each name's zero byte."""
    start = 0
    while (end := tree.find(b"\0", start)) >= 0:
        mode, _, name = tree[start:end].partition(b" ")
        yield mode, name
        start = end + 1 + _ID_BYTES


def searched_piece(sha: str, kind: str, content: bytes, paths: Mapping[str, str]) -> Piece:
    """Return an object as what is searched; `paths` has the files of the final tree by their content's id."""
    if kind == "tree":
        return Piece(b"\n".join(name for _, name in _entries(content)), "the names in a folder contain")
    if kind == "blob":
        path = paths.get(sha)
        return Piece(content, "contains" if path else "a file of a commit on the way contains", path)
    return Piece(content, f"the text of {kind} {sha[:12]} contains")
