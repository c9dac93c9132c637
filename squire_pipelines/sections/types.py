"""What a single setting may be, as types: a field that has one is checked when the settings are loaded.

The sections, which have the fields, are beside it.
"""

import json
import re
from collections.abc import Iterable
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from squire_pipelines.domain.container_limits import LONGEST_S
from squire_pipelines.domain.cron_times import check_cron
from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.identity import parse_repository
from squire_pipelines.domain.provider_order import MAX_WEIGHT, ProviderChoice
from squire_pipelines.domain.reading_times import parse_quiet_hours, parse_zoned_quiet_hours
from squire_pipelines.sections.annotations import forms_of
from squire_pipelines.sections.hidden_values import HIDDEN, hidden_error

MAX_SKILLS = 20
SKILL_FILE = "SKILL.md"

_HOST = re.compile(r"[A-Za-z0-9._~-]+|[0-9A-Fa-f:.]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")
_SKILL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_PROFILE_BYTES = 2**20
_MAX_PORT = 65535
_MAX_GLOB = 4096
DEFAULT_PROVIDER = "default"
"""The name of what `agent.base_url`, `planner.base_url` and the secret `model-key` say without any table."""
_MAX_PROVIDERS = 10  # of one agent: each is a connection, and a key in the gateway's memory
_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
# What git takes from the ends of a name and an address: `crud` in its ident.c, and blanks.
_GIT_ENDS = " .,:;<>\"\\'"
_EMAIL = r"[A-Za-z0-9][A-Za-z0-9!#$%&*+/=?^_{|}~\[\].-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
# A name that has no other meaning to an engine; `container:NAME` is a network too.
_ENGINE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.:-]{1,254}"
# https://pkg.go.dev/github.com/distribution/reference, or an image's id.
_IMAGE_NAME = (
    r"(?:sha256:[0-9a-f]{64}|(?:[A-Za-z0-9.-]+(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?)"
)


class SettingsSection(FrozenModel):
    """A table of settings: it does not change, and has no key but its own."""

    model_config = ConfigDict(allow_inf_nan=False)  # every wait has an end

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_boolean_as_number(cls, value: object, field: ValidationInfo) -> object:
        """Refuse what pydantic takes for 0 and 1. A number as text is one: variables have nothing else."""
        if isinstance(value, bool):
            forms = tuple(forms_of(cls.model_fields[str(field.field_name)].annotation))
            if bool not in forms and (int in forms or float in forms):
                raise ValueError("a number belongs here")
        return value


def check_time_zone(text: str) -> str:
    """Return the name of a time zone. Raises ValueError for one that the zones of this machine do not have."""
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # no such zone, no name, the name of a folder
        raise ValueError("no time zone has this name; one looks like Europe/Zurich or UTC") from None
    return text


def check_source(text: str) -> str:
    """Return the name of a source that an installed package offers. Raises ValueError."""
    # Imported only where a source is named.
    from squire_pipelines.source_names import known_source  # noqa: PLC0415

    return known_source(text)


def check_quiet_hours(text: str) -> str:
    """Return a span of the day as it is. Raises ValueError for what is none."""
    parse_quiet_hours(text)
    return text


def check_zoned_quiet_hours(text: str) -> str:
    """Return a span of the day with its time zone as it is. Raises ValueError for what is none."""
    check_time_zone(parse_zoned_quiet_hours(text)[1])
    return text


def _split_url(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises for one that is no number or too large
    except ValueError:  # whose words repeat a part of it
        raise hidden_error("not a URL: it has a host and a port that cannot be") from None
    if parts.username or parts.password:
        raise hidden_error("a URL here has no user name and password in it, since it is shown and logged")
    return parts


def check_http_url(text: str) -> str:
    """Return a URL as it is. Raises ValueError unless it is one of HTTP, with a host and without a user."""
    parts = _split_url(text)
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.hostname or "") or re.search(r"\s", text):
        raise ValueError("a URL looks like https://example.com/path")
    return text


def check_secret_url(text: str) -> str:
    """Return a URL whose path may be a secret, which no error repeats."""
    try:
        return check_http_url(text)
    except ValueError:
        raise hidden_error("a URL looks like https://example.com/path, with no user name and password in it") from None


def check_base_url(text: str) -> str:
    """Return the URL below which others lie. Raises ValueError for one that no path can be put after."""
    parts = urlsplit(check_http_url(text))
    if parts.query or parts.fragment:
        raise hidden_error("a base URL looks like https://example.com/path, without query and fragment")
    return text


def check_ledger_url(text: str) -> str:
    """Return a database's URL. Raises ValueError for a database that the ledger cannot be in.

    It may have a password, which is hidden wherever the URL is shown, so that no error repeats the value.
    """
    # The ledger reads it with this too. Imported only where a URL is set.
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    example = "the ledger's URL looks like sqlite:////path/ledger.sqlite or postgresql://user@host/name"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise hidden_error(example) from None
    if url.drivername == "sqlite":
        _check_ledger_file(url.database or "", has_more=bool(url.query or url.host), example=example)
    elif url.drivername not in {"postgresql", "postgresql+psycopg"} or not text.partition("://")[2].strip("/"):
        raise hidden_error(example)
    elif any("password" in name.lower() for name in url.query):
        raise hidden_error(
            f"{example}; a password stands before the host, where it is hidden whenever the URL is shown"
        )
    elif url.port is not None and not 0 < url.port <= _MAX_PORT:
        raise hidden_error(f"{example}, with a port from 1 to {_MAX_PORT}")
    elif url.host and not _HOST.fullmatch(url.host):
        raise hidden_error(f"{example}; its host cannot be one")
    elif find_spec("psycopg") is None:
        raise hidden_error("the ledger's URL names Postgres, whose driver is not installed: squire-pipelines[postgres]")
    return text


def _check_ledger_file(database: str, *, has_more: bool, example: str) -> None:
    # Each process would otherwise make a ledger of its own: in its memory, or in its working directory.
    if not database.startswith("/") or has_more:
        raise hidden_error(f"{example}: a file written from the root")
    if "\0" in database or database.endswith("/") or Path(database).is_dir():
        raise hidden_error("the ledger's URL names a folder, not a file")


def matching(pattern: str, message: str) -> AfterValidator:
    """Return the check of a text that `pattern` matches as a whole; `message` says what it is otherwise."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text, re.ASCII) is None:
            raise ValueError(message)
        return text

    return AfterValidator(check)


def check_name(text: str) -> str:
    """Return a name as it is. Raises ValueError for a blank one, blanks at its ends and control characters."""
    if text != text.strip() or not text.isprintable():
        raise ValueError("a name is not blank, and has no blanks around it and no control characters in it")
    return text


def check_provider_name(name: str) -> str:
    """Return the name of a model's provider as it is. Raises ValueError for one that cannot be, or that is taken."""
    if name == DEFAULT_PROVIDER:
        raise ValueError("this name stands for agent.base_url and planner.base_url: choose another")
    if not _PROVIDER_NAME.fullmatch(name) or name.endswith("-") or "--" in name:
        raise ValueError("the name of a provider has up to 40 small letters, digits and single hyphens, like claude")
    return name


def read_provider_choice(value: object) -> ProviderChoice:
    """Return which providers a section names. Raises ValueError."""
    if isinstance(value, str):
        return check_provider_name(value)
    if not isinstance(value, list | tuple | dict) or not value:
        raise ValueError('name a provider, several as ["first", "second"], or weights like {first = 3, second = 1}')
    names = [check_provider_name(str(name)) for name in value]
    if len(set(names)) < len(names):
        raise ValueError("it names the same provider twice")
    if len(names) > _MAX_PROVIDERS:
        raise ValueError(f"it names more than {_MAX_PROVIDERS} providers")
    if not isinstance(value, dict):
        return tuple(names)
    wrong = [name for name, weight in value.items() if type(weight) is not int or not 1 <= weight <= MAX_WEIGHT]
    if wrong:
        raise ValueError(f"the weight of {wrong[0]} is no whole number from 1 to {MAX_WEIGHT}")
    return dict(value)


def check_git_name(text: str) -> str:
    """Return the name of an author. Raises ValueError for one that git would refuse or change."""
    if check_name(text).strip(_GIT_ENDS) != text or set(text) & set("<>"):
        raise ValueError(f"git takes no < and > in a name, and none of {_GIT_ENDS.strip()} at its ends")
    return text


def check_seccomp_text(text: str) -> None:
    """Check the text of a seccomp profile. Raises ValueError, whose message goes on after the file's name."""
    try:
        profile = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from error
    if not isinstance(profile, dict) or "defaultAction" not in profile:
        raise ValueError("has no defaultAction")


def check_seccomp(path: Path) -> Path:
    """Return the path of a seccomp profile. Raises ValueError."""
    path = check_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_PROFILE_BYTES)  # one that is cut here is no JSON either
        check_seccomp_text(content.decode("utf-8"))
    except OSError as error:
        raise ValueError(f"the profile cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError("the profile is no text in UTF-8") from error
    except ValueError as error:
        raise ValueError(f"the profile {error}") from error
    return path


def check_skill(path: Path) -> Path:
    """Return the folder of a skill. What is in its files is read for each attempt. Raises ValueError."""
    path = check_folder(path)
    if not _SKILL_NAME.fullmatch(path.name):
        raise ValueError("the folder has a name with more than letters, digits, dots, - and _")
    if path.is_symlink():
        raise ValueError("the folder is a link")
    if (path / SKILL_FILE).is_symlink() or not (path / SKILL_FILE).is_file():
        raise ValueError(f"the folder has no {SKILL_FILE}")
    return path


def check_skills(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the folders of skills. Raises ValueError for two of one name, by which agents know them."""
    names = [path.name for path in paths]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two folders are called {', '.join(twice)}, and agents know a skill by its folder's name")
    return paths


def check_command(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command as a list of words, which may be none at all. Raises ValueError."""
    if any("\0" in word for word in words):
        raise ValueError("no word of a command can have a NUL in it")
    if words and words[0] != (words[0].strip() or None):
        raise ValueError("a command begins with a program's name, which is not blank and has no blanks around it")
    return words


def check_shell_line(text: str) -> str:
    """Return a line for the shell; an empty one is none. Raises ValueError for a blank one."""
    if (text and not text.strip()) or "\0" in text:
        raise ValueError('a command is not blank; "" stands for none')
    return text


def check_glob(pattern: str) -> str:
    """Return the pattern of paths. Raises ValueError for one that no path of a repository can match."""
    parts = pattern.strip("/").split("/")
    if pattern != pattern.strip() or not pattern.isprintable() or "\\" in pattern or len(pattern) > _MAX_GLOB:
        raise ValueError("a pattern has no blanks around it, and no backslash and no control characters in it")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError("a pattern is a path below the repository's folder, without empty parts, . and ..")
    return pattern


def check_listen_host(text: str) -> str:
    """Return the name or address of an interface of this machine. Raises ValueError for what cannot be one."""
    try:
        ip_address(text)
    except ValueError:
        if not _HOST_NAME.fullmatch(text) or text.replace(".", "").isdigit():
            raise ValueError("no name and no address of a host; for example 127.0.0.1, or 0.0.0.0 for all") from None
    return text


def check_file(path: Path) -> Path:
    """Return the path of a file that is there. Raises ValueError."""
    if not (path := absolute_path(path)).is_file():
        raise ValueError("there is no such file")
    return path


def check_folder(path: Path) -> Path:
    """Return the path of a folder that is there. Raises ValueError."""
    if not (path := absolute_path(path)).is_dir():
        raise ValueError("there is no such folder")
    return path


def check_cache(source: str) -> str:
    """Return what a cache is mounted from: a folder that is there, or a volume's name. Raises ValueError."""
    if source.startswith(("/", "~")):
        return str(check_folder(Path(source)))
    if not re.fullmatch(_ENGINE_NAME, source) or ":" in source:
        raise ValueError("a cache is a folder, written from the root, or the name of a volume")
    return source


def absolute_path(path: Path) -> Path:
    """Return a path with the user's home in it, which is from the root. Raises ValueError for any other."""
    try:
        path = path.expanduser()
    except RuntimeError:
        raise ValueError("there is no user with such a home") from None
    if not path.is_absolute():
        raise ValueError("a path is written from the root, since processes in other folders read it too")
    return path


Cron = Annotated[str, AfterValidator(check_cron)]
TimeZone = Annotated[str, Field(max_length=100), AfterValidator(check_time_zone)]
QuietSpan = Annotated[str, AfterValidator(check_quiet_hours)]
ZonedQuietSpan = Annotated[str, Field(max_length=120), AfterValidator(check_zoned_quiet_hours)]
SECRET_URL = AfterValidator(check_secret_url)
SecretUrl = Annotated[str, SECRET_URL, HIDDEN]
BaseUrl = Annotated[str, AfterValidator(check_base_url), HIDDEN]
LedgerUrl = Annotated[str, AfterValidator(check_ledger_url), HIDDEN]
SeccompProfile = Annotated[Path, AfterValidator(check_seccomp)]
Folder = Annotated[Path, AfterValidator(check_folder)]
AbsolutePath = Annotated[Path, AfterValidator(absolute_path)]
Skill = Annotated[Path, AfterValidator(check_skill)]
Skills = Annotated[tuple[Skill, ...], Field(max_length=MAX_SKILLS), AfterValidator(check_skills)]
CacheSource = Annotated[str, Field(min_length=1), AfterValidator(check_cache)]
SourceName = Annotated[str, AfterValidator(check_source)]
RepositoryName = Annotated[str, AfterValidator(parse_repository)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(check_name)]
ProviderName = Annotated[str, AfterValidator(check_provider_name)]
ProviderChoices = Annotated[ProviderChoice, BeforeValidator(read_provider_choice)]
CloudRegion = Annotated[str, matching(r"[a-z0-9-]{2,40}", "not a region of a cloud, like eu-central-1 or global")]
GoogleProject = Annotated[
    str, matching(r"[a-z0-9.:-]{1,100}", "not the id of a project of Google Cloud, like my-project-1")
]
AwsProfile = Annotated[str, matching(r"[^\s\[\]]{1,100}", "not a profile's name, as in the AWS configuration")]
Label = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(check_name)]
"""As GitHub bounds it."""
CheckPattern = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(check_name)]
GitName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_git_name)]
Email = Annotated[str, Field(max_length=254), matching(_EMAIL, "not a mailbox alone, like bot@example.com")]
"""One that git keeps as it is."""
AppId = Annotated[str, matching(r"[A-Za-z0-9._-]{1,100}", "not the id of a GitHub App, like 12345 or Iv1.abc")]
Image = Annotated[str, Field(max_length=500), matching(_IMAGE_NAME, "not the name of an image, like registry/name:tag")]
EngineName = Annotated[str, matching(_ENGINE_NAME, "not a name that engines take: letters, digits, _ . : and -")]
"""Of a network, a volume or an OCI runtime."""
Word = Annotated[str, Field(max_length=100_000)]
"""Of a command; Linux takes up to 128 KiB."""
Command = Annotated[tuple[Word, ...], AfterValidator(check_command)]
ShellLine = Annotated[str, AfterValidator(check_shell_line)]
Glob = Annotated[str, Field(min_length=1), AfterValidator(check_glob)]
ListenHost = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(check_listen_host)]
Seconds = Annotated[float, Field(gt=0, le=LONGEST_S)]
SecondsOrNone = Annotated[float, Field(ge=0, le=LONGEST_S)]
"""Like `Seconds`, where 0 stands for no wait at all."""
Count = Annotated[int, Field(le=2**53)]
"""A number that people and JSON read as it is; its least value is the field's."""


def refuse_two_spellings(names: Iterable[str], where: str) -> None:
    """Refuse repositories' names that differ in case alone. Raises ValueError, which says `where` they stand."""
    spellings: dict[str, str] = {}
    for name in names:
        if name.casefold() in spellings:
            other = spellings[name.casefold()]
            raise ValueError(f"{where} name the same repository twice: {other!r} and {name!r}; GitHub ignores case")
        spellings[name.casefold()] = name
