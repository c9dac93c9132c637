"""What single settings may be: the rest is refused when they are loaded, and every field has the type that it needs."""

import json
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster._utils.schedules import is_valid_cron_string
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from squire_pipelines.domain.cron_times import check_cron
from squire_pipelines.errors import ConfigError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections import types as setting_types
from squire_pipelines.sections.operation import check_storage_url
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.sections.signals import CollectionSettings
from squire_pipelines.settings.model import Settings, load_settings


def walk(model: type[BaseModel], place: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every field of a model and of the models in it, with its name and theirs."""
    for name, field in model.model_fields.items():
        yield place + name, field
        for part in parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from walk(part, f"{place}{name}.")


def parts(annotation: Any) -> Iterator[Any]:
    """Yield a type and every type that it is made of."""
    yield annotation
    for argument in typing.get_args(annotation):
        yield from parts(argument)


def checks(field: FieldInfo) -> set[Any]:
    """Return the functions that check a field or a part of it."""
    types = [*field.metadata, *parts(field.annotation)]
    return {check.func for check in types if isinstance(check, AfterValidator)}


FIELDS = dict(walk(Settings))
OF_QUEUE_AND_FILES = {"files.url", "workers.broker_url"}
SCHEDULES = [name for name in FIELDS if name.endswith(("schedule", "cron"))]
URLS = [name for name in FIELDS if name.endswith(("url", "registries.files")) and name not in OF_QUEUE_AND_FILES]
OF_DATABASES = {"ledger_url", "pipeline.storage_url"}
PATHS = [name for name, field in FIELDS.items() if Path in list(parts(field.annotation))]


def load(tmp_path: Path, name: str, value: str) -> Settings:
    """Read settings of which one is set, to a value in TOML."""
    for table, named in {"registries": "npm", "providers": "own", "agents": "own", "tenants": "own"}.items():
        name = name.replace(f"{table}.", f"{table}.{named}.")
    *tables, key = name.split(".")
    needed = "" if key != "files" else 'base_url = "https://example.com"\n'
    needed += 'protocol = "openai"\n' if tables[-2:] == ["providers", "own"] else ""
    config = tmp_path / "config.toml"
    before = 'repositories = ["a/b"]\n[tenants.own]\nrepositories = ["a/b"]\n' if tables[:1] == ["tenants"] else ""
    config.write_text(
        before + (f"[{'.'.join(tables)}]\n" if tables else "") + f"{needed}{key} = {value}\n", encoding="utf-8"
    )
    return load_settings(config)


def refusal(tmp_path: Path, name: str, value: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, name, value)
    return caught.value.message


def test_every_schedule_url_and_path_has_its_checked_type() -> None:
    databases = {setting_types.check_ledger_url, check_storage_url}
    urls = {setting_types.check_secret_url, setting_types.check_base_url, *databases}
    folders = {setting_types.absolute_path, setting_types.check_folder}
    paths = {*folders, setting_types.check_seccomp, setting_types.check_skill}
    assert len(SCHEDULES) >= 2
    assert len(URLS) >= 7
    for name in SCHEDULES:
        assert check_cron in checks(FIELDS[name]), name
    for name in URLS:
        assert checks(FIELDS[name]) & urls, name
    for name in set(PATHS) - GOALS:
        assert checks(FIELDS[name]) & paths, name


def leaves(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield the types without parts that a type is made of, each with all that bounds it."""
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        yield from leaves(inner, (*metadata, *more))
    elif arguments := typing.get_args(annotation):
        bounds = metadata if type(None) in arguments else ()  # of the whole list or table, else
        for argument in () if typing.get_origin(annotation) is typing.Literal else arguments:
            yield from leaves(argument, bounds)
    else:
        flat = [part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
        yield annotation, tuple(flat)


# `options` is checked by the agent's package, a choice of providers (test_providers.py) and goals (test_goal_files.py)
# as a whole, and what a repository overrides as the section that it makes.
GOALS = {name for name in FIELDS if name.endswith(".goals")}
OPEN = {
    *GOALS,
    "agent.options",
    "agent.provider",
    "planner.provider",
    "agents.options",
    "agents.limits",
    "agents.provider",
    "hooks.options",
    "sources.options",
    *(f"tenants.{name}" for name in ["planner", "agent", "agents", "gateway", "policy", "trust"]),
    *(f"tenants.{name}" for name in ["verification", "follow"]),
    *(
        f"repository.{name}"
        for name in [
            "ci",
            "trust",
            "filters",
            "agent",
            "agents",
            "policy",
            "verification",
            "follow",
            "gateway",
            "budgets",
            "targets",
        ]
    ),
}


def test_every_number_has_two_bounds_and_every_text_a_rule() -> None:
    seen = 0
    for name, field in FIELDS.items():
        for leaf, bounds in leaves(field.annotation, tuple(field.metadata)):
            if name in OPEN or leaf not in {int, float, str}:
                continue
            seen += 1
            if leaf is str:
                rules = [getattr(bound, "pattern", None) or getattr(bound, "max_length", None) for bound in bounds]
                assert any(rules) or any(isinstance(bound, AfterValidator) for bound in bounds), name
            else:
                assert any(hasattr(bound, "ge") or hasattr(bound, "gt") for bound in bounds), name
                assert any(hasattr(bound, "le") or hasattr(bound, "lt") for bound in bounds), name
    assert seen > 120


SECONDS = [name for name in FIELDS if name.endswith("_s")]


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", ["1e300", "-1", "604801"])
def test_a_wait_that_a_clock_cannot_count_is_refused(tmp_path: Path, name: str, value: str) -> None:
    assert name.rsplit(".", maxsplit=1)[-1] in refusal(tmp_path, name, value)


@pytest.mark.parametrize("name", ["dispatch.lease_s", "dispatch.claim_deadline_s"])
def test_a_lease_that_runs_out_before_it_can_be_prolonged_is_refused(tmp_path: Path, name: str) -> None:
    assert "greater than or equal to 1" in refusal(tmp_path, name, "0.001")


@pytest.mark.parametrize("name", ["agent.limits.cpus", "agent.max_task_limits.cpus", "pipeline.step_limits.cpus"])
def test_a_share_of_a_processor_that_is_rounded_to_no_limit_is_refused(tmp_path: Path, name: str) -> None:
    assert "0.01" in refusal(tmp_path, name, "0.0000000001")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("github.bot_name", "'<>'", "git takes no < and >"),
        ("github.bot_name", "' '", "not blank"),
        ("github.bot_name", "'Bot.'", "at its ends"),
        ("github.bot_name", '"two\\nlines"', "no control characters"),
        ("github.bot_email", "'Bot <bot@x>'", "not a mailbox alone"),
        ("github.bot_email", "'bot'", "not a mailbox alone"),
        ("github.bot_email", "'.bot@x'", "not a mailbox alone"),
        ("github.app_id", "'12 34'", "not the id of a GitHub App"),
        ("planner.model", "' '", "not blank"),
        ("planner.issue_labels", "['']", "at least 1 character"),
        ("planner.issue_labels", "[' squire']", "no blanks around it"),
        ("publishing.label", "'  '", "not blank"),
        ("agent.command", "['']", "a command begins with a program's name"),
        ("agent.command", "['  ']", "a command begins with a program's name"),
        ("agent.command", '["a", "\\u0000"]', "NUL"),
        ("agent.image", "'Squire Worker'", "not the name of an image"),
        ("agent.image", "'worker:'", "not the name of an image"),
        ("agent.runtime", "'a b'", "not a name that engines take"),
        ("agent.caches", "{npm = 'a volume'}", "or the name of a volume"),
        ("agent.caches", "{npm = '-v'}", "or the name of a volume"),
        ("agent.caches", "{npm = '~nobody-such/x'}", "no user with such a home"),
        ("agent.limits.memory", "'9999999999999999999999GiB'", "a size is a number of bytes"),
        ("agent.limits.memory", "'999999999999999GiB'", "less than or equal"),
        ("pipeline.image", "''", "not the name of an image"),
        ("pipeline.network", "' '", "not a name that engines take"),
        ("pipeline.webserver_port", "0", "greater than or equal to 1"),
        ("gateway.network", "'-'", "not a name that engines take"),
        ("gateway.models", "['']", "at least 1 character"),
        ("policy.allowed_paths", "['']", "at least 1 character"),
        ("policy.allowed_paths", "['../x']", "without empty parts, . and .."),
        ("policy.protected_paths", "['./x']", "without empty parts, . and .."),
        ("policy.protected_paths", "['a//b']", "without empty parts, . and .."),
        ("policy.protected_paths", "['/']", "without empty parts, . and .."),
        ("policy.protected_paths", "['src ']", "no blanks around it"),
        ("follow.merge.more_quiet_hours", "['18:00-08:00']", "write the hours and a time zone"),
        ("follow.merge.more_quiet_hours", "['18:00-08:00 Berlin']", "no time zone has this name"),
        ("follow.merge.narrower_paths", "[['../x']]", "without empty parts, . and .."),
        ("verification.lockfiles", "['a\\b']", "no backslash"),
        ("verification.tests", "' '", "a command is not blank"),
        ("webhooks.host", "'not a host'", "no name and no address"),
        ("webhooks.host", "''", "at least 1 character"),
        ("webhooks.host", "'300.1.1.1'", "no name and no address"),
        ("webhooks.port", "3000", "webhooks.port and pipeline.webserver_port are both 3000"),
    ],
)
def test_what_a_run_could_not_use_is_refused_when_it_is_read(tmp_path: Path, name: str, value: str, says: str) -> None:
    assert says in refusal(tmp_path, name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("github.bot_name", "'squire[bot]'"),
        ("github.bot_name", "'Žofie Bot (CI)'"),
        ("github.bot_email", "'1234+squire[bot]@users.noreply.github.com'"),
        ("github.bot_email", "'squire@localhost'"),
        ("agent.command", "['./scripts/fix me.sh', '', '  ']"),
        ("agent.image", "'registry.example.com:5000/team/worker:1.2-rc_3'"),
        ("agent.image", "'localhost:5000/worker@sha256:" + "a" * 64 + "'"),
        ("agent.image", "'sha256:" + "b" * 64 + "'"),
        ("agent.runtime", "'io.containerd.runsc.v1'"),
        ("pipeline.network", "'container:squire-db'"),
        ("policy.allowed_paths", "['src/**', '/docs/*.md', 'app/[id]/', '**', '.github']"),
        ("verification.tests", "''"),
        ("webhooks.host", "'::1'"),
        ("webhooks.host", "'localhost'"),
        ("webhooks.host", "'ci-1.example.com'"),
        ("webhooks.port", "0"),
        ("dispatch.lease_s", "1.5"),
        ("agent.limits.cpus", "0.01"),
    ],
)
def test_what_a_run_can_use_is_taken_as_it_is(tmp_path: Path, name: str, value: str) -> None:
    section, key = name.rsplit(".", 1)
    part: Any = load(tmp_path, name, value)
    for table in section.split("."):
        part = getattr(part, table)
    expected = tomllib.loads(f"x = {value}")["x"]
    assert getattr(part, key) == (tuple(expected) if isinstance(expected, list) else expected)


@given(st.text(min_size=1, max_size=30), st.text(st.sampled_from("ab.@<>+ '[]\"\\é"), max_size=12))
def test_git_keeps_every_name_and_address_that_the_settings_take(name: str, address: str) -> None:
    """By git's own rule (`strbuf_addstr_without_crud` in its ident.c)."""

    def kept(text: str) -> str:
        ends = "".join(map(chr, range(33))) + ".,:;<>\"\\'"
        return "".join(letter for letter in text.strip(ends) if letter not in "<>\n")

    try:
        settings = GitHubSettings(bot_name=name, bot_email=f"{address}@x")
    except ValidationError:
        return
    name_as_set, email_as_set = settings.bot_name or "", settings.bot_email or ""
    assert (kept(name_as_set), kept(email_as_set)) == (name_as_set, email_as_set)
    assert name_as_set


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("61 * * * *", "a schedule has five fields"),
        ("0 0 31 2 *", "a time that never comes"),
        ("0 0 31 4,6,9,11 *", "a time that never comes"),
        ("0 * * * * *", "a schedule has five fields"),
        ("", "a schedule has five fields"),
        ("every day", "a schedule has five fields"),
        ("H * * * *", "a schedule has five fields"),
    ],
)
def test_a_schedule_that_dagster_refuses_or_that_never_comes_is_refused(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    message = refusal(tmp_path, name, f"'{text}'")
    assert f"{name} = {text!r}: {says}" in message or f"{name} = {text!r}: the schedule names {says}" in message


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("text", ["*/10 * * * *", "17 3 * * *", "0 0 29 2 *", "0 9-17 * * mon-fri", "@daily"])
def test_a_schedule_is_taken_as_it_is(tmp_path: Path, name: str, text: str) -> None:
    section, key = name.split(".")
    assert getattr(getattr(load(tmp_path, name, f"'{text}'"), section), key) == text


_FIELD = st.sampled_from(["*", "0", "5", "29", "31", "61", "2", "*/7", "1-5", "mon", "feb", "L", "?", "1,2", "a", "-1"])


@given(st.lists(_FIELD, min_size=4, max_size=7).map(" ".join))
def test_dagster_takes_every_schedule_that_the_settings_take(text: str) -> None:
    try:
        check_cron(text)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert is_valid_cron_string(text) == (not refusal) or "never comes" in refusal


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "Europe", "../etc/passwd", "/etc/localtime", "a\0b", "+02:00"])
def test_what_is_no_time_zone_is_refused(tmp_path: Path, zone: str) -> None:
    assert "no time zone has this name" in refusal(tmp_path, "collection.time_zone", json.dumps(zone))


def test_an_interval_and_a_schedule_are_not_set_together() -> None:
    with pytest.raises(ValidationError, match="set one of them"):
        CollectionSettings(interval_s=600, schedule="*/5 * * * *")


def url_value(name: str, url: str) -> str:
    return f"['{url}']" if name.endswith("files") else f"'{url}'"


@pytest.mark.parametrize("name", [name for name in URLS if name not in OF_DATABASES])
@pytest.mark.parametrize(
    "url",
    [
        "example.com/x",
        "ftp://example.com",
        "https://",
        "https://exa mple.com",
        "http://[::1",
        "http://h:99999",
        "",
        "/x",
    ],
)
def test_what_is_no_url_of_http_is_refused(tmp_path: Path, name: str, url: str) -> None:
    assert "URL" in refusal(tmp_path, name, url_value(name, url))


@pytest.mark.parametrize("name", [name for name in URLS if name not in OF_DATABASES])
@pytest.mark.parametrize("url", ["https://me:hunter22@example.com/x", "https://hunter22@example.com/x"])
def test_a_url_with_a_user_is_refused_without_repeating_it(tmp_path: Path, name: str, url: str) -> None:
    message = refusal(tmp_path, name, url_value(name, url))
    assert "no user name and password" in message
    assert "hunter22" not in message


@pytest.mark.parametrize(
    "name", [name for name in URLS if name not in OF_DATABASES and not name.endswith("alerts.webhook_url")]
)
def test_a_base_url_has_no_query(tmp_path: Path, name: str) -> None:
    assert "without query" in refusal(tmp_path, name, url_value(name, "https://example.com/x?y=z"))


@pytest.mark.parametrize("name", [name for name in URLS if name not in OF_DATABASES])
@pytest.mark.parametrize("url", ["https://example.com/api/v3", "http://127.0.0.1:8080", "http://[::1]:9/v1"])
def test_urls_of_http_are_taken(tmp_path: Path, name: str, url: str) -> None:
    load(tmp_path, name, url_value(name, url))


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hunter22@db/squire",
        "ledger.sqlite",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///ledger.sqlite",
        "sqlite:///./ledger.sqlite",
        "sqlite:///~/ledger.sqlite",
        "sqlite:///:memory:",
        "sqlite:////x/y.sqlite?mode=ro",
        "sqlite://host/x/y.sqlite",
        "sqlite+aiosqlite:////x/y.sqlite",
        "sqlite:////tmp",
        "sqlite:////x/",
        "postgresql://",
        "postgresql+mysqldb://me:hunter22@db/squire",
        "postgresql+asyncpg://me:hunter22@db/squire",
        "postgresql://me:hunter22@db:notaport/squire",
        "postgresql://me:hunter22@db:70000/squire",
        "postgresql://me:hunter22@db:0/squire",
        "postgresql://me:hunter22@d b/squire",
        "postgres://me:hunter22@db/squire",
        "",
    ],
)
def test_a_ledger_that_cannot_be_there_is_refused_without_repeating_it(tmp_path: Path, url: str) -> None:
    message = refusal(tmp_path, "ledger_url", f"'{url}'")
    assert "the ledger's URL" in message
    assert "hunter22" not in message


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////x/y.sqlite",
        "sqlite:////x/a folder/50%.sqlite",
        "postgresql://me:secret@db:5432/squire",
        "postgresql+psycopg://db/squire?sslmode=require",
        "postgresql://me@/squire?host=/run/postgresql",
        "postgresql:///squire",
        "postgresql://me@[::1]:5432/squire",
    ],
)
def test_a_ledger_in_a_file_or_in_postgres_is_taken_also_with_a_password(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, "ledger_url", f"'{url}'").ledger_url == url
    Ledger(url).close()


@pytest.mark.parametrize("name", ["password", "sslpassword"])
def test_a_ledgers_password_in_the_query_is_refused_and_not_repeated(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path, "ledger_url", f"'postgresql://me@db/squire?{name}=hunter2'")
    assert "a password stands before the host" in message
    assert "hunter2" not in message


def test_dagsters_storage_has_no_place_on_sqlite(tmp_path: Path) -> None:
    assert "postgresql://" in refusal(tmp_path, "pipeline.storage_url", "'sqlite:////s.sqlite'")
    url = "postgresql://me:hunter2@db/squire"
    assert load(tmp_path, "pipeline.storage_url", f"'{url}'").pipeline.storage_url == url


def test_a_base_url_with_a_query_is_not_repeated(tmp_path: Path) -> None:
    assert "hunter2" not in refusal(tmp_path, "planner.base_url", "'https://models.test/v1?api_key=hunter2'")


@pytest.mark.parametrize("url", ["sqlite:////x/y.sqlite", "postgresql://db/squire"])
def test_the_ledgers_file_is_known_where_it_is_one(tmp_path: Path, url: str) -> None:
    file = load(tmp_path, "ledger_url", f"'{url}'").ledger_file
    assert file == (Path("/x/y.sqlite") if url.startswith("sqlite") else None)


def test_a_seccomp_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path, "agent.seccomp", f"'{tmp_path}/none.json'")
    assert "there is no such file" in refusal(tmp_path, "agent.seccomp", f"'{tmp_path}'")
    assert "written from the root" in refusal(tmp_path, "agent.seccomp", "'none.json'")
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
    assert load(tmp_path, "agent.seccomp", f"'{profile}'").agent.seccomp == profile


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "the profile is not JSON"),
        (b"", "the profile is not JSON"),
        (b"[" * 100_000, "the profile is not JSON"),
        (b"{}", "the profile has no defaultAction"),
        (b"[]", "the profile has no defaultAction"),
        (b"\xff", "no text in UTF-8"),
    ],
)
def test_a_seccomp_profile_that_no_engine_takes_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "profile.json").write_bytes(content)
    assert says in refusal(tmp_path, "agent.seccomp", f"'{tmp_path}/profile.json'")


def make_skill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "SKILL.md").touch()
    return folder


def test_a_skill_that_cannot_be_copied_is_refused(tmp_path: Path) -> None:
    skill, empty = make_skill(tmp_path / "a" / "review"), tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "link").symlink_to(skill)
    for folder, says in (
        (tmp_path / "none", "there is no such folder"),
        (empty, "has no SKILL.md"),
        (tmp_path / "link", "is a link"),
        (make_skill(tmp_path / "a b"), "has a name with more than"),
    ):
        assert says in refusal(tmp_path, "agent.skills", f"['{folder}']")
    assert load(tmp_path, "agent.skills", f"['{skill}']").agent.skills == (skill,)


def test_skills_of_one_name_and_too_many_are_refused(tmp_path: Path) -> None:
    one, other = make_skill(tmp_path / "x" / "review"), make_skill(tmp_path / "y" / "review")
    assert "two folders are called review" in refusal(tmp_path, "agent.skills", f"['{one}', '{other}']")
    many = ", ".join(f"'{make_skill(tmp_path / str(number))}'" for number in range(setting_types.MAX_SKILLS + 1))
    assert "at most 20" in refusal(tmp_path, "agent.skills", f"[{many}]")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{gem = '/'}", "Input should be 'npm', 'pnpm', 'pip' or 'uv'"),
        ("{npm = '/no/such/folder'}", "there is no such folder"),
        ("{npm = 'some/folder'}", "a folder, written from the root, or the name of a volume"),
        ("{npm = ''}", "at least 1 character"),
    ],
)
def test_a_cache_that_cannot_be_mounted_is_refused(tmp_path: Path, value: str, says: str) -> None:
    assert says in refusal(tmp_path, "agent.caches", value)


def test_caches_are_folders_and_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    caches = load(tmp_path, "agent.caches", f"{{npm = '~', uv = 'team-uv', pip = '{tmp_path}'}}").agent.caches
    assert caches == {"npm": str(tmp_path), "uv": "team-uv", "pip": str(tmp_path)}
