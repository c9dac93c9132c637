"""Reads tasks, and whether anything happened, without SQLAlchemy and pydantic: importing them takes too long for it.

Only an SQLite ledger with the newest schema is read here, read-only; for everything else the caller asks the ledger
itself. The SQL is the same, so that this is about speed and never about correctness.
"""

import hashlib
import os
import sqlite3
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from squire_pipelines import __version__
from squire_pipelines.domain.queue_rules import PullRequestCaps, cap_reached
from squire_pipelines.home import Home, make_folder, named_config
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.pull_request_use import read_use
from squire_pipelines.ledger.task_query import QueryRunner, TaskQuery
from squire_pipelines.ledger.task_rows import TaskPage, read_page

BUSY_TIMEOUT_S = 5.0
_STAMP = "settings-checked"
_URL = "SQUIRE_LEDGER_URL"
_NO_SETTINGS = {"SQUIRE_HOME", "SQUIRE_CONFIG", _URL}
_OF_TESTS = "SQUIRE_TEST_"
_PREFIX = "sqlite:///"
_OF_THE_QUEUE = ("pull_requests", "dependencies")
CHANGES = {
    "task_events": "at",
    "signal_events": "at",
    "plans": "updated_at",
    "attempts": "updated_at",
    "outcomes": "updated_at",
    "check_reruns": "updated_at",
}
"""The ledger's tables in which something that happened leaves a row, with the indexed column that says when.

A reading that found everything as it was is in none of them.
"""


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    # Names in any case count, as for pydantic-settings. Secrets are no settings and go into no digest.
    named = {name.upper(): value for name, value in environment.items() if name.upper().startswith("SQUIRE_")}
    secret = ("TOKEN", "SECRET", "KEY", "_FILE")
    return {
        name: value
        for name, value in named.items()
        if name not in _NO_SETTINGS
        and not name.startswith(_OF_TESTS)
        and ("__" in name or not any(word in name for word in secret))
    }


def config_path(config: Path | None, home: Home) -> Path:
    """Return the settings' file, which is there or not."""
    return _config_path(config, home)[0]


def _config_path(config: Path | None, home: Home) -> tuple[Path, bool]:
    named = config or named_config()
    return named or home.config_file, named is not None


def settings_digest(config: Path | None, home: Home) -> str | None:
    """Return what distinguishes one state of the settings from another, None when there is nothing to check."""
    path, named = _config_path(config, home)
    variables = _variables(os.environ)
    if not named and not variables and not path.exists():
        return None
    try:
        status = path.stat()
        file = f"{path.absolute()}:{status.st_mtime_ns}:{status.st_size}:{status.st_ino}"
    except OSError:
        file = f"{path}:missing"
    return hashlib.sha256(repr((__version__, file, sorted(variables.items()))).encode()).hexdigest()


def remember_checked(digest: str | None, home: Home) -> None:
    """Remember that the settings with this digest were checked, so that the next list need not check them again."""
    if digest is None:
        return
    with suppress(OSError):  # a cache that cannot be written costs time, nothing else
        (make_folder(home.cache) / _STAMP).write_text(digest, encoding="ascii")


def _was_checked(digest: str | None, home: Home) -> bool:
    if digest is None:
        return True
    try:
        return (home.cache / _STAMP).read_text(encoding="ascii") == digest
    except (OSError, UnicodeDecodeError):
        return False


def ledger_path(config: Path | None, home: Home) -> Path | None:
    """Return the SQLite ledger's file as the settings name it, None when the settings have to be read in full."""
    return named_ledger(config, home) if _was_checked(settings_digest(config, home), home) else None


def named_ledger(config: Path | None, home: Home) -> Path | None:
    """Return the SQLite ledger's file as the settings name it, checked or not; None where they name none plainly."""
    url = next((value for name, value in os.environ.items() if name.upper() == _URL), None)
    if url is None:
        try:
            url = tomllib.loads(config_path(config, home).read_text(encoding="utf-8")).get("ledger_url")
        except FileNotFoundError:
            url = None
        except (OSError, ValueError):
            return None
    if url is None:
        return home.data / "ledger.sqlite"
    path = str(url).removeprefix(_PREFIX)
    plain = str(url).startswith(_PREFIX) and path.startswith("/") and not any(sign in path for sign in "?%:")
    return Path(path) if plain else None


def may_wait_by_settings(config: Path | None, home: Home) -> bool:
    """Return whether the settings say of budgets, caps or dependencies what makes tasks wait longer than by default."""
    names = ("SQUIRE_BUDGETS", "SQUIRE_REPOSITORY", "SQUIRE_DISPATCH")
    if any(name.upper().startswith(names) for name in os.environ):
        return True
    try:
        text = config_path(config, home).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return any(word in text for word in ("budgets", *_OF_THE_QUEUE))


def may_be_capped(path: Path, page: TaskPage) -> bool:
    """Return whether a task of the page may wait for a cap on pull requests, or for what its repository's file says.

    Asked where the settings say nothing of caps, so that the defaults hold, or lower ones in a repository's own file.
    """
    names = list(dict.fromkeys(row.repository for row in page.rows if row.waits_for_start))
    if not names:
        return False
    try:
        with reading(path) as runner:
            uses = read_use(runner, names, now=page.now)
            if any(cap_reached(PullRequestCaps(), use, page.now) is not None for use in uses.values()):
                return True
            condition, values = runner.among("repository", names)
            sql = f"SELECT settings FROM repository_files WHERE settings IS NOT NULL AND {condition}"  # noqa: S608 - ours
            return any(word in str(row["settings"]) for row in runner.run(sql, values) for word in _OF_THE_QUEUE)
    except sqlite3.Error:
        return True


def read_tasks(path: Path, query: TaskQuery) -> TaskPage | None:
    """Return a page of tasks, None when the ledger itself has to be asked. Raises NotFoundError, PagePositionError."""
    now = datetime.now(UTC)
    if not path.exists():
        return read_page(QueryRunner(lambda _sql, _values: [], is_sqlite=True), query, now=now)
    try:
        with reading(path) as runner:
            return read_page(runner, query, now=now)
    except sqlite3.Error:
        return None


def has_changed_since(path: Path, moment: datetime) -> bool | None:
    """Return whether anything has happened since `moment`, None when that cannot be read.

    One look into an index for each table, however many rows there are.
    """
    looks = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE {column} > :moment)"  # noqa: S608 - names of our own
        for table, column in CHANGES.items()
    )
    try:
        with reading(path) as runner:
            return bool(runner.run(f"SELECT {looks} AS changed", {"moment": runner.moment(moment)})[0]["changed"])
    except sqlite3.Error:
        return None


@contextmanager
def reading(path: Path, *, wait_s: float = BUSY_TIMEOUT_S) -> Iterator[QueryRunner]:
    """Open the ledger at `path` for reading, with this wait for its lock.

    Raises sqlite3.Error, also when its schema is another.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=wait_s)) as db:
        db.row_factory = sqlite3.Row
        db.execute("BEGIN")  # all statements see one state
        if db.execute("SELECT version_num FROM alembic_version").fetchone()["version_num"] != HEAD_REVISION:
            raise sqlite3.NotSupportedError
        yield QueryRunner(lambda sql, values: db.execute(sql, values).fetchall(), is_sqlite=True)
