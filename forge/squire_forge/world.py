"""The state that all parts of the forge share: configuration, database, git directories, clock."""

import base64
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from squire_forge.apps import Apps
from squire_forge.database import Database
from squire_forge.git import GitDirectory
from squire_forge.records import Repository

VIEWER_LOGIN = "squire-demo"
KEEPER_LOGIN = "forge-keeper"
HOOK_ID = 1
MERGE_PREFIX = "squire/"


@dataclass(frozen=True, slots=True)
class ForgeConfig:
    """The configuration of one forge.

    Args:
        home: Folder of the database and the bare repositories.
        web_url: Where it is reached, without a slash at the end.
        token: The only token that it accepts.
        webhook_secret: The key of the webhooks' signatures.
        webhook_url: Where webhooks go; None sends (and records) none.
        merge_prefix: The forge merges green pull requests whose branch begins with this; None merges none.
        max_body_bytes: The largest request body, pushes included.
        rate_limit: REST requests, and GraphQL points, that the token has in an hour.
    """

    home: Path
    web_url: str
    token: str
    webhook_secret: str
    webhook_url: str | None = None
    merge_prefix: str | None = MERGE_PREFIX
    max_body_bytes: int = 256_000_000
    rate_limit: int = 5_000

    @property
    def host(self) -> str:
        """The name in its addresses."""
        return urlsplit(self.web_url).hostname or ""


def utc_now() -> datetime:
    """Return the time, for a forge without a clock of its own."""
    return datetime.now(UTC)


class World:
    """The state of one forge. Whoever changes a repository holds `lock`, so that changes happen one after the other."""

    def __init__(self, config: ForgeConfig, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.config = config
        self.lock = threading.RLock()
        self._clock = clock
        self._standing: str | None = None
        self._directories: dict[int, GitDirectory] = {}
        self._touched: set[int] = set()
        self._touched_guard = threading.Lock()
        self.on_touch: Callable[[], None] = lambda: None
        self.repositories_dir = config.home / "repositories"
        self.repositories_dir.mkdir(parents=True, exist_ok=True)
        self.apps = Apps()
        self.database = Database(config.home / "forge.sqlite3")

    def now(self) -> str:
        """Return the time as GitHub writes it."""
        return self._standing or self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @contextmanager
    def standing_at(self, moment: str | None) -> Iterator[None]:
        """Let it be that time (RFC 3339) in the block, which holds `lock`; None leaves the time as it is."""
        self._standing = moment
        try:
            yield
        finally:
            self._standing = None

    def git_path(self, owner: str, name: str) -> Path:
        """Return the path of the bare repository; `owner` and `name` must have been checked."""
        return self.repositories_dir / owner / f"{name}.git"

    def git(self, repository: Repository) -> GitDirectory:
        """Return the bare repository."""
        directory = self._directories.get(repository.id)
        if directory is None:
            directory = GitDirectory(self.git_path(repository.owner.login, repository.name))
            self._directories[repository.id] = directory
        return directory

    def touch(self, repository_id: int) -> None:
        """Mark a repository as changed: it may have checks to run or a pull request to merge."""
        with self._touched_guard:
            self._touched.add(repository_id)
        self.on_touch()

    def take_touched(self) -> set[int]:
        """Return the repositories that were touched since the last call."""
        with self._touched_guard:
            taken, self._touched = self._touched, set()
        return taken


@dataclass(frozen=True, slots=True)
class View:
    """The world as one database connection sees it."""

    world: World
    con: sqlite3.Connection

    def git(self, repository: Repository) -> GitDirectory:
        """Return the bare repository."""
        return self.world.git(repository)


def node_id(kind: str, number: int | str) -> str:
    """Return the opaque global id of an object."""
    return base64.b64encode(f"{len(kind):03}:{kind}{number}".encode()).decode()
