"""GraphQL resolvers of what a revision names: folders and files of a repository's git objects."""

from dataclasses import dataclass
from typing import Any

from squire_forge.graph_core import Commit, Context, on
from squire_forge.records import Repository
from squire_forge.world import node_id

MAX_TEXT_BYTES = 512 * 2**10
"""What is longer is told as truncated."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file's content."""

    repository: Repository
    oid: str
    data: bytes


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A name in a folder."""

    repository: Repository
    mode: int
    type: str
    oid: str
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder."""

    repository: Repository
    oid: str
    entries: tuple[TreeEntry, ...]


GitObject = Commit | Tree | Blob


@on("Repository", "object")
def _object(
    repository: Repository, context: Context, *, expression: str | None = None, oid: str | None = None
) -> GitObject | None:
    return find_object(repository, context, oid or expression or "")


@on("TreeEntry", "object")
def _entry_object(entry: TreeEntry, context: Context) -> GitObject | None:
    return find_object(entry.repository, context, entry.oid)


def find_object(repository: Repository, context: Context, revision: str) -> GitObject | None:
    """Return the object that a revision names, None when there is none, as at GitHub."""
    git = context.view.git(repository)
    named = git.object_of(revision)
    if named is None:
        return None
    kind, oid = named
    if kind == "commit":
        return Commit(repository, oid)
    if kind == "tree":
        rows = git.tree(oid)
        return Tree(repository, oid, tuple(TreeEntry(repository, *row) for row in rows))
    return Blob(repository, oid, git.blob(oid)) if kind == "blob" else None


@on("Tree", "id")
def _tree_id(tree: Tree, _: Context) -> str:
    return node_id("Tree", f"{tree.repository.id}:{tree.oid}")


@on("Blob", "id")
def _blob_id(blob: Blob, _: Context) -> str:
    return node_id("Blob", f"{blob.repository.id}:{blob.oid}")


@on("Blob", "byteSize")
def _byte_size(blob: Blob, _: Context) -> int:
    return len(blob.data)


@on("Blob", "isBinary")
def _is_binary(blob: Blob, _: Context) -> bool:
    return _text(blob) is None


@on("Blob", "isTruncated")
def _is_truncated(blob: Blob, _: Context) -> bool:
    return len(blob.data) > MAX_TEXT_BYTES


@on("Blob", "text")
def _blob_text(blob: Blob, _: Context) -> Any:
    text = _text(blob)
    return None if text is None else text[:MAX_TEXT_BYTES]


def _text(blob: Blob) -> str | None:
    if b"\0" in blob.data:
        return None
    try:
        return blob.data.decode()
    except UnicodeDecodeError:
        return None
