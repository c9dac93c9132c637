"""Where Squire's files are, and how its folders are made. Quick commands load this and not the settings.

The files hold what strangers wrote, so that only their owner may read them: folders are made here with mode 0700, and
each process of Squire sets a umask by which its files get mode 0600 (`process_setup`).
"""

import errno
import os
import stat
from pathlib import Path

from squire_pipelines.errors import ConfigError

_NOT_IN_A_URL = ("?", "%")
STORE_NAME = "secrets.sealed"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_STEWARDS_SUFFIXES = (".yaml", ".yml")


def make_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter, and the folders above it that are missing; return it."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(exist_ok=True)  # raises FileExistsError for a file in its place
    return path


def make_file(path: Path) -> Path:
    """Make an empty file that only its owner may read, unless it is there; return it. No symlink is followed.

    A file that is there is not even opened: whoever closes a file gives up all locks that its process has on it, and
    SQLite's other connections of this process would go on without theirs, beside others that take them.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from None
    return path


def why_not_writable(folder: Path) -> str | None:
    """Return why no file can be made in `folder`, as a whole clause; None when one can, or when that is not known."""
    if not folder.is_dir():
        return f"{folder} is no folder" if folder.exists() else f"the folder {folder} does not exist"
    if os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return None
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{folder} is on a file system that is mounted read-only"
    return f"this user may not write to the folder {folder}"


def close_to_others(path: Path) -> None:
    """Take the permissions of group and others from a file or folder of this user's, which an older Squire gave them.

    What is not there, is a symlink or belongs to somebody else is left alone. Raises OSError.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISLNK(status.st_mode) and status.st_uid == os.geteuid() and status.st_mode & _OTHERS:
        path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)


def user_home() -> Path | None:
    """Return the home of this process's user; None for one that has none, such as any number in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def path_in(variable: str) -> Path | None:
    """Return the path in an environment variable from the root, None when it is not set. Raises ConfigError.

    Dagster's processes and step containers read it too, in folders of their own.
    """
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"environment: {variable} = {text!r} names the home of a user that there is not",
            hint="write the path from the root",
        ) from None
    return Path(os.path.abspath(path))  # noqa: PTH100 - `absolute` leaves `..` in it, which no container has


def named_config() -> Path | None:
    """Return the settings' file that `SQUIRE_CONFIG` names, None when it names none. Raises ConfigError."""
    return path_in("SQUIRE_CONFIG")


def no_file_hint(path: Path) -> str:
    """Return what to do where there are no settings at `path`."""
    stewards = [file for suffix in _STEWARDS_SUFFIXES if (file := path.with_name(f"steward{suffix}")).is_file()]
    if stewards:
        return _stewards_hint(stewards[0])
    return "write it with `squire init --repository owner/name`, or check SQUIRE_HOME, SQUIRE_CONFIG and --config"


def no_toml_hint(path: Path, line: int | None = None) -> str:
    """Return what to do with settings at `path` that are not TOML, in the line of this number."""
    if path.suffix in _STEWARDS_SUFFIXES:
        return _stewards_hint(path)
    place = f"line {line}" if line is not None else "the line"
    return f"fix {place} with `squire config edit`, or write a new file with `squire init --force`, which keeps a copy"


def _stewards_hint(file: Path) -> str:
    return (
        f"{file} has the form of the old product's settings: `squire migrate --from {file.parent}` takes them over; "
        "see docs/guide/coming-from-the-old-squire.md"
    )


def restore_mark(data: Path) -> Path:
    """Return the file that says that a restore into the home with this folder of data has not ended."""
    return data / "restore-incomplete.json"


class Home:
    """Where Squire's files are: all under `SQUIRE_HOME` when it is set, else the XDG directories."""

    def __init__(self, *, config: Path, data: Path, cache: Path, state: Path) -> None:
        self.config = config
        self.data = data
        self.cache = cache
        self.state = state

    @classmethod
    def from_environment(cls) -> "Home":
        """Read `SQUIRE_HOME` and the XDG variables. Creates nothing. Raises ConfigError."""
        home = cls._named()
        if any(sign in str(home.data) for sign in _NOT_IN_A_URL):
            raise ConfigError(
                f"environment: {home.data} has a sign that a ledger's URL cannot have: {' or '.join(_NOT_IN_A_URL)}",
                hint="set SQUIRE_HOME to another folder",
            )
        return home

    @classmethod
    def _named(cls) -> "Home":
        if (root := path_in("SQUIRE_HOME")) is not None:
            return cls(config=root, data=root, cache=root / "cache", state=root)
        import platformdirs  # noqa: PLC0415 - not needed where SQUIRE_HOME is set, and the command's start counts

        dirs = platformdirs.PlatformDirs("squire", appauthor=False)
        try:
            return cls(
                config=dirs.user_config_path,
                data=dirs.user_data_path,
                cache=dirs.user_cache_path,
                state=dirs.user_state_path,
            )
        except RuntimeError as error:
            raise ConfigError(
                "environment: HOME is not set, and the system knows no home of this user",
                hint="set SQUIRE_HOME to a folder for Squire's files, or HOME",
            ) from error

    @property
    def config_file(self) -> Path:
        """`config.toml`."""
        return self.config / "config.toml"

    @property
    def task_templates(self) -> Path:
        """This installation's own templates of tasks, one file each."""
        return self.config / "templates"

    @property
    def answers(self) -> Path:
        """What GitHub answered, with its tags, one file each; it may be removed."""
        return self.cache / "github-answers"

    @property
    def setups(self) -> Path:
        """Archives of installed dependencies, for verification; it may be removed."""
        return self.cache / "setups"

    @property
    def stored_files(self) -> Path:
        """What was fetched from the store of files; it may be removed."""
        return self.cache / "stored-files"

    @property
    def mirrors(self) -> Path:
        """Bare mirrors of the repositories, one folder each."""
        return self.cache / "mirrors"

    @property
    def attempts(self) -> Path:
        """One folder per attempt: what went in, what came out, the log."""
        return self.state / "attempts"

    @property
    def warm(self) -> Path:
        """The folders of containers that wait for an attempt, whose folder they are moved to."""
        return self.state / "warm"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that people query."""
        return self.data / "warehouse.duckdb"

    def warehouse_of(self, tenant: str) -> Path:
        """Return where the warehouse with one tenant's rows alone is."""
        return self.data / f"warehouse-{tenant}.duckdb"

    @property
    def migrations(self) -> Path:
        """The records of migrations, with the sealed originals."""
        return self.config / "migrations"

    @property
    def archive(self) -> Path:
        """The Parquet files of what left the ledger, a folder for each table."""
        return self.data / "archive"

    @property
    def backups(self) -> Path:
        """Backups of the whole home, unless the settings name another folder."""
        return self.data / "backups"

    @property
    def report(self) -> Path:
        """The page that the asset `history/report` writes."""
        return self.data / "report.html"

    def report_of(self, tenant: str) -> Path:
        """Return where the page with one tenant's work alone is."""
        return self.data / f"report-{tenant}.html"

    @property
    def secrets(self) -> Path:
        """The folder of secrets in plain files, which are read with `secrets.allow_plain_files` alone."""
        return self.config / "secrets"

    @property
    def secret_store(self) -> Path:
        """The encrypted file of secrets."""
        return self.config / STORE_NAME

    @property
    def dagster(self) -> Path:
        """`DAGSTER_HOME`."""
        return self.state / "dagster"

    @property
    def run(self) -> Path:
        """Pid files, locks and logs of the processes that Squire starts."""
        return self.state / "run"

    @property
    def metrics(self) -> Path:
        """What each process has counted, and what the endpoint has read of the ledger."""
        return self.state / "metrics"

    @property
    def settings_state(self) -> Path:
        """The last good copies of the settings, and which process has taken which version."""
        return self.state / "settings"

    @property
    def reload_request(self) -> Path:
        """The file by which `squire config reload` has each process read its settings again."""
        return self.settings_state / "reload-asked"

    @property
    def debug_file(self) -> Path:
        """What `squire debug` has switched on, and until when."""
        return self.settings_state / "debug.json"

    def private_paths(self) -> tuple[Path, ...]:
        """Return what is Squire's alone, and nobody else's to read, whether it is there or not.

        In the XDG layout the four folders are Squire's alone; people may keep more in a `SQUIRE_HOME`, which stays.
        """
        ours_alone = () if self.config == self.data else (self.config, self.data, self.cache, self.state)
        return (
            *ours_alone,
            self.dagster,
            self.run,
            self.metrics,
            self.attempts,
            self.warm,
            self.cache,
            self.archive,
            self.backups,
            self.warehouse,
            self.report,
            self.secrets,
            self.config_file,
        )

    def close_to_others(self) -> None:
        """Take what an older Squire made in the home from everybody but its owner. Raises OSError."""
        for path in self.private_paths():
            close_to_others(path)
