"""Answers of GitHub's REST API that are kept with their ETags: asked again, GitHub says 304, which costs no quota.

A kept answer is never used unasked. Each is a file of its own, by the credential that asked, so that nobody is shown
what another credential was.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from squire_pipelines.home import make_folder
from squire_pipelines.observability.logging import Component, get_logger

MAX_BODY_BYTES = 256 * 2**10
"""A larger answer is not kept."""

NOT_MODIFIED = 304
_OK = 200
_EVERY = 50
_log = get_logger(Component.GITHUB)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A body, and the tag by which GitHub knows it."""

    etag: str
    body: bytes


class AnswerStore(Protocol):
    """Keeps answers from one process to the next."""

    def find(self, name: str) -> KeptAnswer | None:
        """Return what is kept under this name."""
        ...

    def keep(self, name: str, answer: KeptAnswer) -> None:
        """Keep an answer in the place of the one before."""
        ...


class NothingKept:
    """Keeps nothing."""

    def find(self, name: str) -> None:
        """Return None."""

    def keep(self, name: str, answer: KeptAnswer) -> None:
        """Do nothing."""


class KeptAnswers:
    """Keeps answers as files, at most `max_answers` of them: those that were not written for the longest time go.

    A file that is damaged, or cannot be read or written, is as good as none.
    """

    def __init__(self, folder: Path, *, max_answers: int) -> None:
        self._folder = folder
        self._max_answers = max_answers
        self._written = 0

    def find(self, name: str) -> KeptAnswer | None:
        """See `AnswerStore`."""
        try:
            head, _, body = (self._folder / name).read_bytes().partition(b"\n")
        except OSError:
            return None
        try:
            etag, digest = json.loads(head)
        except (ValueError, TypeError):
            return None
        return KeptAnswer(str(etag), body) if digest == hashlib.sha256(body).hexdigest() else None

    def keep(self, name: str, answer: KeptAnswer) -> None:
        """See `AnswerStore`."""
        head = json.dumps([answer.etag, hashlib.sha256(answer.body).hexdigest()]).encode()
        path = self._folder / name
        unfinished = path.with_name(f"{name}.{os.getpid()}.tmp")
        try:
            make_folder(self._folder)
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(head + b"\n" + answer.body)
            unfinished.replace(path)
            if self._written % _EVERY == 0:
                self._forget_oldest()
        except OSError as error:
            _log.warning("github.answer_not_kept", cause=str(error))
        self._written += 1

    def _forget_oldest(self) -> None:
        """Leave room for what is written until the next time."""
        ages = sorted((path.stat().st_mtime_ns, path) for path in self._folder.iterdir())
        for _, path in ages[: max(0, len(ages) - max(0, self._max_answers - _EVERY))]:
            path.unlink(missing_ok=True)


def name_of(credential: str, url: str, params: Mapping[str, str | int] | None) -> str:
    """Return the name under which an answer is kept."""
    asked = json.dumps([credential, url, sorted((params or {}).items())])
    return hashlib.sha256(asked.encode()).hexdigest()


def keepable(status: int, headers: Mapping[str, str], body: bytes) -> KeptAnswer | None:
    """Return what is kept of an answer, None for one without a tag, too large or bad."""
    etag = headers.get("etag", "")
    return KeptAnswer(etag, body) if status == _OK and etag and len(body) <= MAX_BODY_BYTES else None
