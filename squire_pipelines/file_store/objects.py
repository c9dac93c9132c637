"""Stores behind fsspec: any that it knows, and those that speak S3, which confirm a content by its SHA-256.

S3 itself checks what arrives by the digest that is sent with it, and puts an object whole or not at all. Of the others
what was written is read again.
"""

import base64
import errno
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from squire_pipelines.file_store import failures
from squire_pipelines.file_store.model import PAGE, Fingerprint, StoredNames, StoredObject

_DIGEST = "squire-sha256"
"""The name of an object's metadata with its SHA-256: stores that speak S3 do not all keep the checksum itself."""


class FilesystemBackend:
    """Any store of fsspec; see `StoreBackend`.

    Args:
        filesystem: Of fsspec.
        root: The path that all names come after, as the file system has it.
        place: The store's URL, as people may see it.
    """

    def __init__(self, filesystem: Any, root: str, place: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._place = place

    def find(self, key: str, *, with_digest: bool) -> StoredObject | None:
        """Return a file, which is read for its digest; see `StoreBackend`."""
        try:
            facts = self._filesystem.info(self._path(key))
        except FileNotFoundError:
            return None
        return self._stored(key, facts, self._read(key).sha256 if with_digest else None)

    def _read(self, key: str) -> Fingerprint:
        with self._filesystem.open(self._path(key), "rb") as file:
            return Fingerprint.of_stream(file)

    def put(self, key: str, source: Path, fingerprint: Fingerprint) -> bool:
        """Write a file that is not there yet, and read it again; see `StoreBackend`."""
        try:
            self._filesystem.put_file(str(source), self._path(key), mode="create")
        except FileExistsError:
            return False
        fingerprint.check(self._read(key), key)
        return True

    def replace(self, key: str, content: bytes) -> None:
        """Write a small file; see `StoreBackend`."""
        self._filesystem.pipe_file(self._path(key), content)

    def fetch(self, key: str, target: Path) -> None:
        """Write a file to a local one; see `StoreBackend`."""
        self._filesystem.get_file(self._path(key), str(target))

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return a part of a file; see `StoreBackend`."""
        return bytes(self._filesystem.cat_file(self._path(key), start=start, end=start + length))

    def files(self, prefix: str, after: str) -> tuple[StoredObject, ...]:
        """Return a page of files; see `StoreBackend`."""
        try:
            listing = self._filesystem.find(self._path(prefix), detail=True)
        except FileNotFoundError:
            return ()
        stored = sorted((self._key(path), facts) for path, facts in listing.items())
        return tuple(self._stored(key, facts, None) for key, facts in stored if key > after)[:PAGE]

    def folders(self, prefix: str, page: str) -> StoredNames:
        """Return a page of folders' names; see `StoreBackend`."""
        try:
            listing = self._filesystem.ls(self._path(prefix), detail=True)
        except FileNotFoundError:
            return StoredNames((), "")
        names = sorted(
            str(facts["name"]).rstrip("/").rpartition("/")[2] for facts in listing if facts["type"] != "file"
        )
        later = [name for name in names if name > page]
        return StoredNames(tuple(later[:PAGE]), later[PAGE - 1] if len(later) > PAGE else "")

    def remove(self, keys: tuple[str, ...]) -> None:
        """Remove files; see `StoreBackend`."""
        for key in keys:
            try:
                self._filesystem.rm_file(self._path(key))
            except FileNotFoundError:
                continue

    def explain(self, error: Exception) -> Exception | None:
        """Return what an error of the library means; see `StoreBackend`."""
        return failures.explain(error, self._place)

    def close(self) -> None:
        """Do nothing: the library keeps the connections."""

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _key(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")

    def _stored(self, key: str, facts: Mapping[str, Any], digest: str | None) -> StoredObject:
        moment = facts.get("LastModified") or facts.get("mtime") or facts.get("created")
        if isinstance(moment, int | float):
            moment = datetime.fromtimestamp(moment, UTC)
        if not isinstance(moment, datetime):
            moment = datetime.now(UTC)  # a store that does not say: nothing of it goes by its age
        return StoredObject(key, int(facts["size"]), moment.astimezone(UTC), digest)


class BucketBackend(FilesystemBackend):
    """A bucket of a store that speaks S3; see `StoreBackend`.

    Args:
        filesystem: Of s3fs.
        root: The bucket and a prefix.
        place: The store's URL, as people may see it.
    """

    def __init__(self, filesystem: Any, root: str, place: str) -> None:
        super().__init__(filesystem, root, place)
        self._bucket, _, prefix = root.strip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._once: dict[str, str] = {"IfNoneMatch": "*"}

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._filesystem.call_s3(method, Bucket=self._bucket, **arguments)

    def find(self, key: str, *, with_digest: bool) -> StoredObject | None:  # noqa: ARG002 - it costs nothing
        """Return a file with the digest that was put with it; see `StoreBackend`."""
        try:
            facts = self._call("head_object", Key=f"{self._prefix}{key}")
        except FileNotFoundError:
            return None
        digest = facts.get("Metadata", {}).get(_DIGEST)
        return StoredObject(key, int(facts["ContentLength"]), facts["LastModified"].astimezone(UTC), digest)

    def put(self, key: str, source: Path, fingerprint: Fingerprint) -> bool:
        """Write an object in one request, which the store checks by its digest; see `StoreBackend`."""
        with source.open("rb") as file:
            try:
                self._call(
                    "put_object",
                    Key=f"{self._prefix}{key}",
                    Body=file,
                    ContentLength=fingerprint.size,
                    **self._once,
                    **_checks(fingerprint),
                )
            except FileExistsError:
                return False
            except OSError as error:
                # Two that put the same at once: the second is told so, or that it may try again.
                if _code(error) in {"PreconditionFailed", "ConditionalRequestConflict", "412"}:
                    return False
                if _code(error) not in {"NotImplemented", "501"} or not self._once:
                    raise
            else:
                return True
        # A store that knows no such condition: whoever puts a file has looked just before whether it is there.
        self._once = {}
        return self.put(key, source, fingerprint)

    def replace(self, key: str, content: bytes) -> None:
        """Write a small object; see `StoreBackend`."""
        self._call("put_object", Key=f"{self._prefix}{key}", Body=content, **_checks(Fingerprint.of_content(content)))

    def files(self, prefix: str, after: str) -> tuple[StoredObject, ...]:
        """Return a page of objects; see `StoreBackend`."""
        more = {"StartAfter": f"{self._prefix}{after}"} if after else {}
        answer = self._call("list_objects_v2", Prefix=f"{self._prefix}{prefix}", MaxKeys=PAGE, **more)
        return tuple(
            StoredObject(row["Key"].removeprefix(self._prefix), int(row["Size"]), row["LastModified"].astimezone(UTC))
            for row in answer.get("Contents", ())
        )

    def folders(self, prefix: str, page: str) -> StoredNames:
        """Return a page of common prefixes; see `StoreBackend`."""
        start = f"{self._prefix}{prefix}"
        more = {"ContinuationToken": page} if page else {}
        answer = self._call("list_objects_v2", Prefix=start, Delimiter="/", MaxKeys=PAGE, **more)
        names = (row["Prefix"].removeprefix(start).rstrip("/") for row in answer.get("CommonPrefixes", ()))
        return StoredNames(tuple(names), str(answer.get("NextContinuationToken", "")))

    def remove(self, keys: tuple[str, ...]) -> None:
        """Remove up to a thousand objects in one request; see `StoreBackend`."""
        objects = [{"Key": f"{self._prefix}{key}"} for key in keys]
        answer = self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
        for trouble in answer.get("Errors", ()):
            kind = PermissionError if trouble.get("Code") == "AccessDenied" else OSError
            raise kind(errno.EACCES, f"{trouble.get('Code')}: {trouble.get('Message', '')}")

    def close(self) -> None:
        """Close the connections, whose loop runs in a thread of the library's."""
        client = self._filesystem._s3  # noqa: SLF001 - the library has no other name for it
        if client is not None:
            self._filesystem.close_session(self._filesystem.loop, client)


def _checks(fingerprint: Fingerprint) -> dict[str, Any]:
    digest = base64.b64encode(bytes.fromhex(fingerprint.sha256)).decode()
    return {"ChecksumSHA256": digest, "Metadata": {_DIGEST: fingerprint.sha256}}


def _code(error: BaseException) -> str:
    response = getattr(error.__cause__, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) else ""
