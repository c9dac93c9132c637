"""The names of settings: read as people and shells write them; an unknown one names the known one that is like it."""

import pytest

from squire_pipelines.errors import SettingError
from squire_pipelines.settings.file import KeyPath, key_text
from squire_pipelines.settings.keys import annotation_at, leaf_paths, parse_key
from squire_pipelines.settings.model import Settings


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("dispatch.max_concurrent", ("dispatch", "max_concurrent")),
        ('repository."a/b".agent.kind', ("repository", "a/b", "agent", "kind")),
        ("repository.a/b.agent.kind", ("repository", "a/b", "agent", "kind")),  # as a shell leaves it
        ("repository.a/b.io.issue_labels", ("repository", "a/b.io", "issue_labels")),
        ('gateway.prices."gpt-4.1".input', ("gateway", "prices", "gpt-4.1", "input")),
        ("agent.choose[1].agent", ("agent", "choose", 1, "agent")),
        ("agents.codex.limits.memory", ("agents", "codex", "limits", "memory")),
        ("agent.options.any.thing", ("agent", "options", "any", "thing")),
    ],
)
def test_a_name_is_read_as_people_and_shells_write_it(text: str, path: KeyPath) -> None:
    assert parse_key(text, Settings) == path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "dispatch.max_concurent",
            "there is no setting dispatch.max_concurent; perhaps dispatch.max_concurrent is meant",
        ),
        ("max_concurrent", "perhaps dispatch.max_concurrent or gateway.max_concurrent"),
        ("dispach", "perhaps dispatch"),
        ("agents.codex.modle", "perhaps agents.codex.model"),
        ("providers.c.protocl", "providers.c.protocol"),
        ("repository.a/b.polcy", 'perhaps repository."a/b".policy'),
        ("webhooks.port.x", "there is no setting webhooks.port.x"),
        ("", "is no key"),
        ("a..b", "is no key"),
        ('a"', "is no key"),
    ],
)
def test_an_unknown_name_names_the_one_that_is_like_it(text: str, says: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_key(text, Settings)
    assert says in caught.value.message
    assert "squire config show --defaults" in caught.value.hint


def test_every_setting_has_a_name_that_leads_to_it() -> None:
    paths = list(leaf_paths(Settings))
    assert len(paths) > 150
    for path in paths:
        assert parse_key(key_text(path), Settings) == path
        assert annotation_at(Settings, path) is not None
