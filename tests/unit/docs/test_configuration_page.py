"""The configuration page names every setting with its default's text, in the section that it belongs to."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from squire_pipelines.domain.container_limits import parse_size
from squire_pipelines.sections.agents import NamedAgentSettings
from squire_pipelines.sections.repositories import RepositoryOverrides
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ProviderSettings
from squire_pipelines.settings.tenancy import TenantSettings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "configuration.md"
_ROW = re.compile(r"^\| `([a-z_]+)` \| ([^|]*?) \|", re.MULTILINE)
# Too long for a cell; a test of the policy compares the guide's list of protected paths.
_PROSE = {("policy", "protected_paths"), ("policy", "binary_paths"), ("ci", "ignore")}


def _sections() -> dict[str, dict[str, str]]:
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {title.strip("`[]"): dict(_ROW.findall(text)) for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def _walk(model: type[BaseModel], section: str = "") -> Iterator[tuple[str, str, object]]:
    for key, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        name = f"{section}.{key}" if section else key
        if isinstance(default, BaseModel):
            yield from _walk(type(default), name)
        elif name != "repository":
            yield section or "Top level", key, default


SECTIONS = _sections()
KEYS = list(_walk(Settings))


def _value(text: str, default: object) -> object:
    plain = text.strip("`")
    if text == "not set":
        return None
    if isinstance(default, tuple):
        return tuple(re.findall(r'"([^"]*)"', plain))
    if isinstance(default, dict | bool):
        return json.loads(plain)
    if isinstance(default, str):
        return plain.removeprefix('"').removesuffix('"')
    return parse_size(plain.strip('"')) if plain.startswith('"') else float(plain)


@pytest.mark.parametrize(("section", "key", "default"), KEYS, ids=[f"{section}.{key}" for section, key, _ in KEYS])
def test_every_setting_stands_in_its_section_with_its_default(section: str, key: str, default: object) -> None:
    text = SECTIONS[section][key]
    if (section, key) not in _PROSE:
        assert _value(text, default) == default


def test_the_page_names_no_setting_that_does_not_exist() -> None:
    known = {(section, key) for section, key, _ in KEYS}
    tables = {'repository."owner/name"', "providers.NAME", "agents.NAME", "tenants.NAME"}
    named = {(section, key) for section, rows in SECTIONS.items() for key in rows if section not in tables}
    assert named == known


def test_every_override_of_a_repository_is_named() -> None:
    assert set(SECTIONS['repository."owner/name"']) == set(RepositoryOverrides.model_fields)


def test_every_key_of_an_agent_beside_the_general_one_is_named() -> None:
    assert set(SECTIONS["agents.NAME"]) == set(NamedAgentSettings.model_fields)


def test_every_key_of_a_tenant_is_named() -> None:
    assert set(SECTIONS["tenants.NAME"]) == set(TenantSettings.model_fields)


def test_every_key_of_a_provider_is_named() -> None:
    assert set(SECTIONS["providers.NAME"]) == set(ProviderSettings.model_fields)
