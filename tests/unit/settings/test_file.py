"""The settings' file as a text: what is not TOML is told with its line, and each setting is found in its line."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.errors import ExitCode, SettingError
from squire_pipelines.settings.file import (
    MAX_FILE_BYTES,
    KeyPath,
    SettingsFile,
    key_text,
    parse_settings,
    quote_text,
    read_settings_file,
)

PATH = Path("/there/config.toml")
TEXT = """\
# A comment with [brackets] and "quotes.
repositories = [
  "a/b", # one
  "c/d",
]
text = '''
[not.a.table]
x = 1
'''
more = "[" # still no list

[agent.limits]
cpus = 3

[[agent.choose]]
agent = "codex"
[[agent.choose]]
agent = {codex = 1, "open.code" = 2}
kinds = ["fix_ci"]

[repository."a/b".agent]
model = "x"
dotted.key = 5
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("repositories",), 2),
        (("repositories", 1), 2),
        (("text",), 6),
        (("more",), 10),
        (("agent", "limits", "cpus"), 13),
        (("agent", "limits", "pids"), 12),
        (("agent", "choose", 0, "agent"), 16),
        (("agent", "choose", 1), 17),
        (("agent", "choose", 1, "agent", "open.code"), 18),
        (("agent", "choose", 1, "kinds", 0), 19),
        (("repository", "a/b", "agent", "model"), 22),
        (("repository", "a/b"), 21),
        (("repository", "a/b", "agent", "dotted", "key"), 23),
        (("planner", "model"), None),
    ],
)
def test_a_setting_is_found_in_its_line_or_in_that_of_what_has_it(path: KeyPath, line: int | None) -> None:
    assert parse_settings(PATH, TEXT).line_of(path) == line


def test_a_line_is_what_toml_calls_one() -> None:
    assert parse_settings(PATH, "a = 'x\u2028\x85y'\r\nb = 2\r\n").line_of(("b",)) == 2


def test_a_wrong_member_of_a_long_list_is_found_in_its_own_line() -> None:
    assert parse_settings(PATH, TEXT).line_of(("repositories", 1), "c/d") == 4


@pytest.mark.parametrize(
    ("text", "says", "shows"),
    [
        ("a = 1\nb = \n", "line 2, column 5: the value is missing or is none of TOML's", "    2 | b = \n      |     ^"),
        ("a = yes\n", "line 1, column 5: the value is missing or is none", "    1 | a = yes\n      |     ^"),
        ('a = "x\nb = 1\n', "line 1, column 7: the text has no quote at its end", '1 | a = "x'),
        ('a = ["x"\n', "the list has no bracket at its end", '1 | a = ["x"'),
        ("a = 1\nb = 2\na = 3\n", "line 3, column 6: the key a stands twice: the first time in line 1", "3 | a = 3"),
        ("[a]\nx.y = 1\nx.y = 2\n", "the key a.x.y stands twice: the first time in line 2", "3 | x.y = 2"),
        ("[a]\n[b]\n[a]\n", "the table [a] stands twice: the first time in line 1", "3 | [a]"),
        ("a = 1\n[a]\n", "the table [a] stands twice: the first time in line 1", "2 | [a]"),
        ("[a\n", "line 1, column 3: Expected ']'", "1 | [a"),
    ],
)
def test_what_is_not_toml_is_shown_with_line_and_column_in_plain_words(text: str, says: str, shows: str) -> None:
    with pytest.raises(SettingError, match="is not valid TOML") as caught:
        parse_settings(PATH, text)
    assert says in caught.value.message
    assert shows in caught.value.place
    assert "squire config edit" in caught.value.hint
    assert caught.value.exit_code is ExitCode.CONFIGURATION


def test_the_line_that_is_shown_has_no_secret_in_it() -> None:
    token = "ghp_" + "Ab1" * 12
    with pytest.raises(SettingError) as caught:
        parse_settings(PATH, f"token = {token}\n")
    assert token not in caught.value.place
    assert "[redacted]" in caught.value.place


def test_a_url_in_the_line_that_is_shown_has_its_host_alone() -> None:
    with pytest.raises(SettingError) as refusal:
        parse_settings(PATH, '[alerts]\nwebhook_url = "https://me:fake@hooks.example.com/services/fake\n')
    assert refusal.value.place == '    2 | webhook_url = "https://[redacted]@hooks.example.com/[redacted]'


@pytest.mark.parametrize(
    ("text", "says"),
    [("\ufeff[agent]\n", "a byte order mark"), (f"a = 1\nb = {'9' * 5000}\n", "line 2, column 1: a number in it has")],
)
def test_a_mark_that_nobody_sees_and_a_number_without_an_end_are_told(text: str, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        parse_settings(PATH, text)


def test_control_characters_survive_toml() -> None:
    text = "".join(map(chr, range(32))) + "\x7f\\u0001"
    assert tomllib.loads(f"value = {quote_text(text)}")["value"] == text


def test_a_file_that_is_too_long_or_no_text_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(SettingError, match=r"config\.toml is longer than"):
        read_settings_file(path)
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(SettingError, match="line 2 is no text in UTF-8"):
        read_settings_file(path)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_the_name_of_a_setting_is_toml_of_its_parts(parts: list[str]) -> None:
    values: Any = tomllib.loads(f"{key_text(tuple(parts))} = 0")
    for part in parts:
        values = values[part]
    assert values == 0


@given(
    st.dictionaries(NAMES, st.one_of(st.integers(), st.text(max_size=20), st.lists(st.text(max_size=5), max_size=3))),
    st.sampled_from(["", "\n", "# [x\n"]),
)
def test_every_key_is_found_whatever_stands_before_it(values: dict[str, object], between: str) -> None:
    lines: list[str] = []
    expected: dict[str, int] = {}
    for name, value in values.items():
        lines += between.splitlines()
        expected[name] = len(lines) + 1
        shown = (
            f"[\n{''.join(f'  {quote_text(text)}, # {name}' + chr(10) for text in value)}]"
            if isinstance(value, list)
            else value
        )
        lines += (
            f"{key_text((name,))} = {quote_text(shown) if shown is value and isinstance(shown, str) else shown}".split(
                "\n"
            )
        )
    text = "\n".join(lines)
    try:
        file = SettingsFile(PATH, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return  # a control character that the test's own writer does not escape
    assert {name: file.line_of((name,)) for name in values} == expected
