"""A change of the settings' file changes one setting, keeps the rest of the text, and is whole or not there at all."""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squire_pipelines.cli.init import config_text
from squire_pipelines.errors import SettingError
from squire_pipelines.home import Home
from squire_pipelines.settings.edits import read_if_there, replace_settings, settings_locked, with_value, without_value
from squire_pipelines.settings.file import KeyPath, parse_settings

PATH = Path("/there/config.toml")
TEXT = """\
# mine
repositories = ["a/b"] # one

[dispatch] # how many
# max_concurrent = 5  # at once
max_attempts = 2 # tries

[agent.limits]
cpus = 3
[[agent.choose]]
agent = "codex"
"""


def lines_changed(text: str) -> tuple[set[str], set[str]]:
    before, after = TEXT.splitlines(), text.splitlines()
    return {line for line in before if line not in after}, {line for line in after if line not in before}


@pytest.mark.parametrize(
    ("path", "value", "gone", "new"),
    [
        (("dispatch", "max_attempts"), 4, {"max_attempts = 2 # tries"}, {"max_attempts = 4 # tries"}),
        (
            ("dispatch", "max_concurrent"),
            3,
            {"# max_concurrent = 5  # at once"},
            {"max_concurrent = 3  # at once"},
        ),
        (("dispatch", "lease_s"), 30.5, set(), {"lease_s = 30.5"}),
        (("agent", "limits", "memory"), "4GiB", set(), {'memory = "4GiB"'}),
        (("agent", "choose", 0, "agent"), "opencode", {'agent = "codex"'}, {'agent = "opencode"'}),
        (("ledger_url",), "sqlite:////x", set(), {'ledger_url = "sqlite:////x"'}),
        (
            ("repository", "a/b", "agent", "kind"),
            "codex",
            set(),
            {'[repository."a/b".agent]', 'kind = "codex"'},
        ),
    ],
)
def test_one_line_changes_and_every_comment_stays(path: KeyPath, value: object, gone: set[str], new: set[str]) -> None:
    assert lines_changed(with_value(parse_settings(PATH, TEXT), path, value)) == (gone, new)


def test_a_setting_is_taken_out_with_its_line_alone() -> None:
    file = parse_settings(PATH, TEXT)
    assert lines_changed(without_value(file, ("dispatch", "max_attempts"))) == ({"max_attempts = 2 # tries"}, set())
    with pytest.raises(SettingError, match=r"dispatch\.lease_s is not set"):
        without_value(file, ("dispatch", "lease_s"))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (("repositories", "x"), "has no member x"),
        (("agent", "choose", 3, "agent"), "has no member 3"),
        (("dispatch", "max_attempts", "x"), "dispatch.max_attempts is no table"),
    ],
)
def test_what_is_no_table_takes_no_key(path: KeyPath, says: str) -> None:
    with pytest.raises(SettingError) as caught:
        with_value(parse_settings(PATH, TEXT), path, 1)
    assert says in caught.value.message


def test_the_file_of_init_takes_settings_where_their_comments_are() -> None:
    text = with_value(parse_settings(PATH, config_text(["a/b"])), ("agent", "limits", "cpus"), 4)
    before = config_text(["a/b"]).splitlines()
    changed = [(old, new) for old, new in zip(before, text.splitlines(), strict=True) if old != new]
    assert changed == [("# cpus = 2", "cpus = 4")]


KEYS = st.sampled_from(["a", "b", "c.d", "é"])
VALUES = st.one_of(
    st.integers(-5, 5), st.booleans(), st.text("ab\"'\\\n#=[", max_size=5), st.lists(st.integers(), max_size=2)
)
TREES = st.recursive(VALUES, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)


@settings(max_examples=60)
@given(st.dictionaries(KEYS, TREES, max_size=3), st.lists(KEYS, min_size=1, max_size=3), VALUES)
def test_a_change_is_exactly_the_one_that_was_asked_for(tree: dict[str, Any], path: list[str], value: Any) -> None:
    text = "".join(f"# about {index}\n{line}\n" for index, line in enumerate(_toml_lines(tree)))
    file = parse_settings(PATH, text)
    try:
        changed = tomllib.loads(with_value(file, tuple(path), value))
    except SettingError:
        return  # told, and nothing is written
    expected: Any = tomllib.loads(text)
    table = expected
    for part in path[:-1]:
        table = table.setdefault(part, {})
    table[path[-1]] = value
    assert changed == expected


def _toml_lines(tree: dict[str, Any]) -> list[str]:
    import tomlkit  # noqa: PLC0415 - only to write what a person may have written

    return [tomlkit.dumps({name: value}).strip() for name, value in tree.items() if not isinstance(value, dict)] + [
        tomlkit.dumps({name: value}).strip() for name, value in tree.items() if isinstance(value, dict)
    ]


def test_a_link_stays_and_its_target_keeps_its_mode(tmp_path: Path) -> None:
    target, link = tmp_path / "dotfiles" / "squire.toml", tmp_path / "config.toml"
    target.parent.mkdir()
    target.write_text("a = 1\n")
    target.chmod(0o640)
    link.symlink_to(target)
    replace_settings(link, b"a = 1\n", "a = 2\n")
    assert link.readlink() == target
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("a = 2\n", 0o640)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config.toml", "dotfiles", "squire.toml"]


def test_a_file_that_has_changed_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("theirs")
    for before in (b"as it was read", None):
        with pytest.raises(SettingError, match="has changed meanwhile"):
            replace_settings(path, before, "ours")
    assert path.read_text() == "theirs"


def test_of_many_changes_at_once_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    home = Home(config=tmp_path, data=tmp_path, cache=tmp_path, state=tmp_path)

    def change(number: int) -> None:
        with settings_locked(path, home):
            before = read_if_there(path)
            file = parse_settings(path, (before or b"").decode())
            replace_settings(path, before, with_value(file, (f"key{number}",), number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(8)))
    assert tomllib.loads(path.read_text()) == {f"key{number}": number for number in range(8)}
    assert path.stat().st_mode & 0o777 == 0o600
