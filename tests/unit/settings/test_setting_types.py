"""What single settings may be: the rest is refused when they are loaded, and every field has the type that it needs."""

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster._utils.schedules import is_valid_cron_string
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from squire_pipelines import setting_types
from squire_pipelines.errors import ConfigError
from squire_pipelines.settings import Settings, load_settings


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
    found = [*field.metadata, *parts(field.annotation)]
    return {check.func for check in found if isinstance(check, AfterValidator)}


FIELDS = dict(walk(Settings))
SCHEDULES = [name for name in FIELDS if name.endswith(("schedule", "cron"))]
URLS = [name for name in FIELDS if name.endswith(("url", "registries.files"))]
PATHS = [name for name, field in FIELDS.items() if Path in list(parts(field.annotation))]


def load(tmp_path: Path, name: str, value: str) -> Settings:
    """Read settings of which one is set, to a value in TOML."""
    *tables, key = name.replace("registries.", "registries.npm.").split(".")
    needed = "" if key != "files" else 'base_url = "https://example.com"\n'
    config = tmp_path / "config.toml"
    config.write_text((f"[{'.'.join(tables)}]\n" if tables else "") + f"{needed}{key} = {value}\n", encoding="utf-8")
    return load_settings(config)


def refusal(tmp_path: Path, name: str, value: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, name, value)
    return caught.value.message


def test_every_schedule_url_and_path_has_its_checked_type() -> None:
    urls = {setting_types.check_http_url, setting_types.check_base_url, setting_types.check_ledger_url}
    assert len(SCHEDULES) >= 2
    assert len(URLS) >= 8
    for name in SCHEDULES:
        assert setting_types.check_cron in checks(FIELDS[name]), name
    for name in URLS:
        assert checks(FIELDS[name]) & urls, name
    for name in PATHS:
        assert checks(FIELDS[name]) & {setting_types.check_file, setting_types.check_folder}, name


def test_no_text_that_is_needed_may_be_empty() -> None:
    for name, field in FIELDS.items():
        if field.annotation is str and field.default and not checks(field):
            assert any(getattr(bound, "min_length", 0) for bound in field.metadata) or name == "webhooks.host", name


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
        setting_types.check_cron(text)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert is_valid_cron_string(text) == (not refusal) or "never comes" in refusal


def url_value(name: str, url: str) -> str:
    return f"['{url}']" if name.endswith("files") else f"'{url}'"


@pytest.mark.parametrize("name", [name for name in URLS if name != "ledger_url"])
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


@pytest.mark.parametrize("name", [name for name in URLS if name != "ledger_url"])
@pytest.mark.parametrize("url", ["https://me:hunter22@example.com/x", "https://hunter22@example.com/x"])
def test_a_url_with_a_user_is_refused_without_repeating_it(tmp_path: Path, name: str, url: str) -> None:
    message = refusal(tmp_path, name, url_value(name, url))
    assert "no user name and password" in message
    assert "hunter22" not in message


@pytest.mark.parametrize("name", [name for name in URLS if name not in {"ledger_url", "alerts.webhook_url"}])
def test_a_base_url_has_no_query(tmp_path: Path, name: str) -> None:
    assert "without query" in refusal(tmp_path, name, url_value(name, "https://example.com/x?y=z"))


@pytest.mark.parametrize("name", [name for name in URLS if name != "ledger_url"])
@pytest.mark.parametrize("url", ["https://example.com/api/v3", "http://127.0.0.1:8080", "http://[::1]:9/v1"])
def test_urls_of_http_are_taken(tmp_path: Path, name: str, url: str) -> None:
    load(tmp_path, name, url_value(name, url))


@pytest.mark.parametrize("url", ["mysql://me:hunter22@db/squire", "ledger.sqlite", "sqlite://", "postgresql://", ""])
def test_a_ledger_in_another_database_is_refused_without_repeating_it(tmp_path: Path, url: str) -> None:
    message = refusal(tmp_path, "ledger_url", f"'{url}'")
    assert "the ledger's URL looks like" in message
    assert "hunter22" not in message


@pytest.mark.parametrize("url", ["sqlite:////x/y.sqlite", "postgresql://me:secret@db:5432/squire"])
def test_the_ledgers_url_may_have_a_password(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, "ledger_url", f"'{url}'").ledger_url == url


def test_a_seccomp_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path, "agent.seccomp", f"'{tmp_path}/none.json'")
    assert "there is no such file" in refusal(tmp_path, "agent.seccomp", f"'{tmp_path}'")
    assert "written from the root" in refusal(tmp_path, "agent.seccomp", "'none.json'")
    profile = tmp_path / "profile.json"
    profile.write_text("{}")
    assert load(tmp_path, "agent.seccomp", f"'{profile}'").agent.seccomp == profile


def test_a_skill_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "there is no such folder" in refusal(tmp_path, "agent.skills", f"['{tmp_path}/none']")
    assert load(tmp_path, "agent.skills", f"['{tmp_path}']").agent.skills == (tmp_path,)


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
