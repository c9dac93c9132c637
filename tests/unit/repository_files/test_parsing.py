"""What a repository's own file may say, and what is told where it says something else."""

import pytest
from hypothesis import example, given, settings

from squire_pipelines.errors import SettingError
from squire_pipelines.repository_files.parsing import MAX_FILE_BYTES, REPOSITORY_FILE, parse_repository_file
from squire_pipelines.settings.file import toml_text
from tests.support.hostile_text import HOSTILE


def refused(text: str) -> SettingError:
    with pytest.raises(SettingError) as caught:
        parse_repository_file(REPOSITORY_FILE, text)
    return caught.value


def test_an_empty_file_asks_for_nothing() -> None:
    parsed = parse_repository_file(REPOSITORY_FILE, "# nothing yet\n")
    assert parsed.settings.model_dump(exclude_defaults=True) == {}


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        (
            '[ci]\n\nignroe = ["x"]\n',
            3,
            "unknown key ci.ignroe, which may stand for ci.ignore",
            "rename it to ci.ignore",
        ),
        ('[agent]\nmodel = "m"\n', 1, "agent is for the operator's settings alone", "remove it"),
        ("[policy]\nmax_files = 0\n", 2, "policy.max_files = 0: Input should be greater", "correct policy.max_files"),
        ('[policy]\nallowed_paths = ["x"]\n', 2, "policy.allowed_paths is for the operator's", "remove it"),
        ('[policy]\nprotected = "approve"\n', 2, "policy.protected = 'approve'", "correct policy.protected"),
        ("[verification]\nenabled = false\n", 2, "verification.enabled is for the operator's settings", "remove it"),
        ("[filters]\ndrafts = true\n", 2, "filters.drafts = True", "correct filters.drafts"),
        ('\nissue_labels = ["a"\n', 2, ".github/squire.toml is not valid TOML: line 2", "correct .github/squire.toml"),
        ('[publishing]\nbody_template = "none"\n', 2, "a template has {body} in it, once", "correct publishing."),
        ('[publishing]\ntitle_template = "{secret} {title}"\n', 2, "a template has no {secret}; it has {kind}", "corr"),
        ('[publishing]\nreviewers = [\n"ok",\n"no one"]\n', 4, "no login and no team", "correct publishing.reviewers"),
    ],
)
def test_the_key_its_line_and_what_to_do_are_told(text: str, line: int, says: str, hint: str) -> None:
    error = refused(text)
    assert says in error.message
    assert error.context["line"] == line
    assert error.hint.startswith(hint)


def test_a_file_that_is_too_long_is_not_parsed() -> None:
    assert f"and may have {MAX_FILE_BYTES}" in refused("#" * (5 * 2**20)).message


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 32_000 + " = 1\n",
        "[" * 60_000,
        "x = " + "[" * 60_000,
        "x = " + "9" * 60_000,
        "x" * 65_000,
        "'''" * 20_001,
        '"' + "\\" * 60_000,
    ],
    ids=["dots", "headers", "nested", "digits", "bare", "quotes", "escapes"],
)
def test_a_file_that_is_made_to_keep_the_parser_busy_is_refused(text: str) -> None:
    assert REPOSITORY_FILE in refused(text).message


def _words_about(content: str) -> list[str]:
    try:
        parse_repository_file(REPOSITORY_FILE, content)
    except SettingError as error:
        return [error.message, error.hint, *error.place.split("\n")]
    return []


@settings(max_examples=15)
@example("\x1f^")
@given(HOSTILE)
def test_what_is_quoted_of_a_file_causes_nothing_where_it_is_shown(text: str) -> None:
    for content in (f"{text}", f"x = {text}", f"[policy]\nmax_files = {toml_text(text)}"):
        for line in _words_about(content):
            assert line.isprintable()
