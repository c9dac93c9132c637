"""What a single setting may be, as types: a field that has one is checked when the settings are loaded.

The sections, which have the fields, are `sections` and `gateway.sections`.
"""

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.identity import parse_repository

SECRET_SHOWN = "secret_shown"  # noqa: S105 - the type of an error
"""The type of an error whose value must not be repeated."""

_HOST = re.compile(r"[A-Za-z0-9._~-]+|[0-9A-Fa-f:.]+")
_CRON_FIELDS = 5


class SettingsSection(FrozenModel):
    """A table of settings: it does not change, and has no key but its own."""

    model_config = ConfigDict(allow_inf_nan=False)  # every wait has an end


def check_cron(text: str) -> str:
    """Return a schedule as it is. Raises ValueError for one that Dagster refuses or whose time never comes."""
    # Dagster has the same version of this parser in itself. Imported only where a schedule is set.
    from croniter.croniter import CroniterBadDateError, CroniterError, croniter  # noqa: PLC0415

    fields = "a schedule has five fields: minute, hour, day of month, month, day of week, for example */10 * * * *"
    try:
        if len(croniter.expand(text)[0]) != _CRON_FIELDS:
            raise ValueError(fields)
        croniter(text).get_next()
    except CroniterBadDateError:
        raise ValueError("the schedule names a time that never comes") from None
    except CroniterError as error:
        raise ValueError(f"{fields} ({error})") from error
    return text


def _split_url(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises for one that is no number or too large
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from error
    if parts.username or parts.password:
        raise PydanticCustomError(
            SECRET_SHOWN, "a URL here has no user name and password in it, since it is shown and logged"
        )
    return parts


def check_http_url(text: str) -> str:
    """Return a URL as it is. Raises ValueError unless it is one of HTTP, with a host and without a user."""
    parts = _split_url(text)
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.hostname or "") or re.search(r"\s", text):
        raise ValueError("a URL looks like https://example.com/path")
    return text


def check_base_url(text: str) -> str:
    """Return the URL below which others lie. Raises ValueError for one that no path can be put after."""
    parts = urlsplit(check_http_url(text))
    if parts.query or parts.fragment:
        raise ValueError("a base URL looks like https://example.com/path, without query and fragment")
    return text


def check_ledger_url(text: str) -> str:
    """Return a database's URL. Raises ValueError for a database that the ledger cannot be in.

    It may have a password, which is hidden wherever the URL is shown.
    """
    scheme, _, rest = text.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and rest != "/":
        return text
    if scheme.partition("+")[0] == "postgresql" and rest.strip("/"):
        return text
    # The value is not repeated: it may have a password in a form that nobody recognises.
    raise PydanticCustomError(
        SECRET_SHOWN, "the ledger's URL looks like sqlite:////path/ledger.sqlite or postgresql://user@host/name"
    )


def check_file(path: Path) -> Path:
    """Return the path of a file that is there. Raises ValueError."""
    path = _absolute(path)
    if not path.is_file():
        raise ValueError("there is no such file")
    return path


def check_folder(path: Path) -> Path:
    """Return the path of a folder that is there. Raises ValueError."""
    path = _absolute(path)
    if not path.is_dir():
        raise ValueError("there is no such folder")
    return path


def check_cache(source: str) -> str:
    """Return what a cache is mounted from: a folder that is there, or a volume's name. Raises ValueError."""
    if source.startswith(("/", "~")):
        return str(check_folder(Path(source)))
    if "/" in source:
        raise ValueError("a cache is a folder, written from the root, or the name of a volume")
    return source


def _absolute(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_absolute():
        raise ValueError("a path is written from the root, since processes in other folders read it too")
    return path


Cron = Annotated[str, AfterValidator(check_cron)]
HttpUrl = Annotated[str, AfterValidator(check_http_url)]
BaseUrl = Annotated[str, AfterValidator(check_base_url)]
LedgerUrl = Annotated[str, AfterValidator(check_ledger_url)]
ExistingFile = Annotated[Path, AfterValidator(check_file)]
ExistingFolder = Annotated[Path, AfterValidator(check_folder)]
CacheSource = Annotated[str, Field(min_length=1), AfterValidator(check_cache)]
RepositoryName = Annotated[str, AfterValidator(parse_repository)]
Name = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0)]
