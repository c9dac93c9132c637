"""Which settings make a repository be read and judged anew although nothing in it has changed."""

from typing import Any

import pytest

from squire_pipelines.settings import overridable as module
from squire_pipelines.settings.model import Settings

NAME, OTHER = "acme/api", "acme/web"
SECTIONS: dict[str, dict[str, Any]] = {
    "bots": {"trust": {"bots": []}},
    "permission": {"trust": {"min_permission": "maintain"}},
    "release label": {"trust": {"release_label": "let-it-pass"}},
    "ignored checks": {"ci": {"ignore": ["tests"]}},
    "second runs": {"ci": {"rerun": False}},
    "issue labels": {"planner": {"issue_labels": ["bot"]}},
    "sources": {"filters": {"sources": ["failed_ci"]}},
}


def rules(name: str = NAME, **sections: Any) -> str:
    return Settings.model_validate({"repositories": [NAME, OTHER], **sections}).reading_rules(name)


@pytest.mark.parametrize("sections", SECTIONS.values(), ids=SECTIONS)
def test_whatever_decides_what_is_read_and_who_may_start_changes_the_rules(sections: dict[str, Any]) -> None:
    assert rules(**sections) != rules()
    assert rules(**sections) == rules(**sections)


def test_another_repositorys_own_settings_and_other_sections_change_nothing() -> None:
    own: dict[str, Any] = {"repository": {OTHER: {"trust": {"bots": []}}}}
    assert rules(**own) == rules()
    assert rules(OTHER, **own) != rules(OTHER)
    assert rules(collection={"ttl_s": 1}, planner={"max_tasks": 3}) == rules()


def test_another_version_of_squire_judges_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rules()
    monkeypatch.setattr(module, "__version__", "99.0.0")
    assert rules() != before
