"""Templates of tasks: which files are some, and what becomes of values."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.errors import SettingError
from squire_pipelines.planning.request_spec import MAX_TEXT_CHARS
from squire_pipelines.planning.task_templates import (
    MAX_TEMPLATE_BYTES,
    MAX_TEMPLATES,
    AnyTemplate,
    TaskTemplate,
    TemplateOrigin,
    UnusableTemplate,
    fill,
    parameter_problems,
    read_template,
)
from squire_pipelines.planning.template_files import folder_templates, local_template, packaged_templates

HEAD = "title: Release {{version}}\ndescription: Make a release.\n"
VERSION = "  version: {required: true, description: Its number.}\n"
GOOD = f"---\n{HEAD}parameters:\n{VERSION}---\nRelease {{{{version}}}}.\n"
SHIPPED = {"answer-review", "clean-up-deprecation", "fix-ci", "raise-coverage", "upgrade-dependency"}
ENOUGH = {
    "answer-review": {"pull_request": "7", "remarks": "src/a.py, line 3: this leaks"},
    "clean-up-deprecation": {"old": "datetime.utcnow"},
    "fix-ci": {"check": "lint"},
    "raise-coverage": {"path": "src/cli"},
    "upgrade-dependency": {"package": "httpx"},
}


def read(text: str | bytes, name: str = "release.md") -> AnyTemplate:
    content = text if isinstance(text, bytes) else text.encode()
    return read_template(name, content, TemplateOrigin.INSTALLATION, f"/templates/{name}")


def usable(text: str) -> TaskTemplate:
    template = read(text)
    assert isinstance(template, TaskTemplate), template
    return template


def with_parameter(description: str, *, title: str = "Release", body: str = "Go to {{x}}.") -> str:
    return f"---\ntitle: {title}\ndescription: d\nparameters:\n  x: {{{description}}}\n---\n{body}\n"


def test_squires_own_are_whole_and_can_be_filled_with_what_is_required_alone() -> None:
    templates = {template.name: template for template in packaged_templates()}
    assert set(templates) == SHIPPED
    for name, template in templates.items():
        assert isinstance(template, TaskTemplate), template
        assert {key for key, parameter in template.parameters.items() if parameter.required} == set(ENOUGH[name])
        filled = fill(template, ENOUGH[name])
        assert "{{" not in filled.title + filled.text
        assert "It is done when" in filled.text
        for value in ENOUGH[name].values():
            assert value in filled.text


def test_a_template_is_read_with_its_parameters_in_order() -> None:
    template = usable(
        "\ufeff---\r\ntitle: Go to {{b}}\r\ndescription: Two\r\nparameters:\r\n"
        "  b: {required: true, type: choice, choices: [left, right], description: Where.}\r\n"
        "  a: {type: integer, default: 3, minimum: 1, maximum: 9, description: Far.}\r\n---\r\n{{a}} steps, {{b}}\r\n"
    )
    assert list(template.parameters) == ["b", "a"]
    assert (template.title, template.body) == ("Go to {{b}}", "{{a}} steps, {{b}}")
    filled = fill(template, {"b": "left"})
    assert (filled.title, filled.text) == ("Go to left", "3 steps, left")
    assert filled.label == f"installation:release ({template.digest})"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "does not begin with a block of YAML"),
        ("title: x\n", "does not begin with a block of YAML"),
        ("---\ntitle: x\n", "does not begin with a block of YAML"),
        ("---\n[1]\n---\nx", "has keys and values"),
        ("---\ntitle: [\n---\nx", "it is no YAML"),
        ("---\ntitle: x\ntitle: y\ndescription: d\n---\nx", "'title' stands twice"),
        ("---\ntitle: &a x\ndescription: *a\n---\nx", "it has a reference"),
        ("---\ntitle: !!python/name:os.system\ndescription: d\n---\nx", "it is no YAML"),
        ("---\ntitle: x\n---\nx", "description: Field required"),
        ("---\ntitle: x\ndescription: d\nallow_protected: ['*']\n---\nx", "unknown key allow_protected"),
        (f"---\n{HEAD}---\nx", "it has the place {{version}}, and no parameter of that name"),
        ("---\ntitle: x\ndescription: d\n---\n\n", "it has no text below the block"),
        ("---\ntitle: x\ndescription: d\n---\nGo to {{ y }}", "'{{ y }}' is no place"),
        ("---\ntitle: x\ndescription: d\n---\nGo to {{Y}}", "'{{Y}}' is no place"),
        (with_parameter("description: d, required: true", body="Go."), "no place {{x}} for the parameter"),
        (with_parameter("description: d"), "it is `required: true`, or has a `default`"),
        (with_parameter("description: d, required: true, default: a"), "it is `required: true`, or has a `default`"),
        (with_parameter("required: true"), "parameters.x.description: Field required"),
        (with_parameter("description: d, required: true, type: code"), "parameters.x.type"),
        (with_parameter("description: d, required: true, type: choice"), "a choice has `choices`"),
        (with_parameter("description: d, required: true, choices: [a]"), "a choice has `choices`"),
        (with_parameter("description: d, type: choice, choices: [a], default: b"), "is none of a"),
        (with_parameter("description: d, required: true, minimum: 1"), "an integer alone has"),
        (with_parameter("description: d, type: integer, default: '3'"), "its default is no integer"),
        (with_parameter("description: d, default: 3"), "its default is no line"),
        (with_parameter("description: d, default: yes"), "parameters.x.default"),
        (with_parameter("description: d, type: path, default: ../a"), "is no path within the repository"),
        (with_parameter("description: d, required: true, type: text", title="'{{x}}'"), "may have several lines"),
        (with_parameter("description: d, required: true").replace("  x:", "  X:"), "'X' is no name"),
        ("---\ntitle: x\ndescription: d\n---\nfine\u202eline", "line 5 has the character U+202E"),
        ("---\ntitle: x\ndescription: d\n---\n" + "y" * (MAX_TEXT_CHARS + 1), "more than 50,000 characters"),
        ("---\ntitle: x\ndescription: d\n---\n" + "y" * MAX_TEMPLATE_BYTES, "more than 65,536 bytes"),
        (b"---\ntitle: x\ndescription: d\n---\nGr\xf6\xdfe", "it is no UTF-8, first in line 5"),
        ("---\nparameters: " + "[" * 20_000 + "\n---\nx", "it is nested too deeply"),
        ("---\n- " + "1\n- " * 3_000 + "1\n---\nx", "it has too many values"),
        ("---\ntitle: !!bool maybe\n---\nx", "a tag (!!name) whose value is none"),
        ("---\ntitle: !!timestamp soon\n---\nx", "a tag (!!name) whose value is none"),
        ("---\ntitle: !!float ''\n---\nx", "a tag (!!name) whose value is none"),
        (f"---\ntitle: {':'.join(['59'] * 600)}.5\n---\nx", "it has a number"),
        ("---\n<<: {title: a}\ntitle: b\ndescription: d\n---\nx", "it has a merge (<<)"),
        ('---\ntitle: "\\e[2J"\ndescription: d\n---\nx', "writes the character U+001B"),
        (with_parameter('description: d, type: text, default: "\\uD800"'), "writes the character U+D800"),
        (with_parameter('description: d, type: choice, required: true, choices: ["a\\nb"]'), "is not one line"),
        (with_parameter('description: d, type: choice, required: true, choices: [" a"]'), "has blanks around it"),
        (with_parameter("description: d, type: integer, required: true, minimum: 2, maximum: 1"), "is more than its"),
        ("---\ntitle: ' '\ndescription: d\n---\nx", "its title or description is empty"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(text: str | bytes, problem: str) -> None:
    template = read(text)
    assert isinstance(template, UnusableTemplate)
    assert problem in template.problem
    assert "/templates/release.md cannot be used" in template.error().message


def test_braces_of_others_are_no_places() -> None:
    body = "Keep ${{ github.ref }}, ${{ref}}, {x}, {{{x}}} and {{a.b}}."
    template = usable(f"---\ntitle: x\ndescription: d\nparameters:\n  x: {{default: X, description: d}}\n---\n{body}")
    assert fill(template, {}).text == "Keep ${{ github.ref }}, ${{ref}}, {x}, {X} and {{a.b}}."


@pytest.mark.parametrize("name", ["Release.md", "re lease.md", "-a.md", ".md", "a" * 61 + ".md", "a.b.md", "a", "a.MD"])
def test_a_file_of_another_name_is_no_template(name: str) -> None:
    template = read(GOOD, name)
    assert isinstance(template, UnusableTemplate)
    assert "its name has small letters" in template.problem


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("line", " ", "is empty"),
        ("line", "a\nb", "is not one line"),
        ("line", "a\u2028b", "is not one line"),
        ("line", "a\x1b[1m", "is not one line"),
        ("line", "a\u202eb", "that can be seen"),
        ("line", "a" * 501, "more than 500 characters"),
        ("text", "a" * 20_001, "more than 20000 characters"),
        ("integer, minimum: 2, maximum: 9", "1", "is less than 2"),
        ("integer, minimum: 2, maximum: 9", "10", "is more than 9"),
        ("integer", "1e3", "is no integer"),
        ("integer", "9" * 4500, "more than 500 characters"),
        ("choice, choices: [a, b]", "c", "is none of a, b"),
        ("path", "/etc/passwd", "is no path within the repository"),
        ("path", "a/../../b", "is no path within the repository"),
        ("path", "a\\b", "is no path within the repository"),
    ],
)
def test_a_value_of_another_type_is_refused(kind: str, value: str, problem: str) -> None:
    template = usable(with_parameter(f"description: d, required: true, type: {kind}"))
    assert problem in parameter_problems(template, {"x": value})["x"]
    with pytest.raises(ValueError, match="x: the value"):
        fill(template, {"x": value})


def test_all_that_is_missing_or_unknown_is_named_at_once() -> None:
    template = usable(GOOD)
    with pytest.raises(ValueError, match="vresion: there is no such parameter; did you mean version") as caught:
        fill(template, {"vresion": "1", "z": ""})
    assert "version: it is missing: Its number." in str(caught.value)
    assert "z: there is no such parameter; there are version" in str(caught.value)


def test_values_that_make_the_text_too_long_are_refused() -> None:
    template = usable(with_parameter("description: d, required: true, type: text", body="{{x}}{{x}}{{x}}"))
    with pytest.raises(ValueError, match="more than 50,000 characters"):
        fill(template, {"x": "a" * 20_000})


@given(st.text(alphabet=st.sampled_from("a{}x y$%\\1'\"<>&\n"), min_size=1).filter(lambda text: text.strip() != ""))
def test_a_value_is_data_whatever_stands_in_it(value: str) -> None:
    template = usable(with_parameter("description: d, required: true, type: text", body="[{{x}}|{{x}}]"))
    kept = value.strip("\n")
    assert fill(template, {"x": value}).text == f"[{kept}|{kept}]"


def test_a_folder_is_read_by_name_and_one_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert folder_templates(tmp_path / "none") == ()
    for name in ("b.md", "a.md", "notes.txt", ".a.md.swp", ".hidden.md"):
        (tmp_path / name).write_text(GOOD)
    (tmp_path / "link.md").symlink_to(tmp_path / "a.md")  # as a mounted ConfigMap has them
    templates = folder_templates(tmp_path)
    assert [template.name for template in templates] == ["a", "b", "link"]
    assert all(isinstance(template, TaskTemplate) for template in templates)


def test_two_files_of_one_name_are_both_refused(tmp_path: Path) -> None:
    for name in ("release.md", "Release.md", "other.md"):
        (tmp_path / name).write_text(GOOD)
    problems = {template.name: getattr(template, "problem", "") for template in folder_templates(tmp_path)}
    assert set(problems) == {"release", "other"}
    assert "another file beside it has this name too" in problems["release"]
    assert problems["other"] == ""


def test_what_is_no_file_is_named_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()
    (tmp_path / "nothing.md").symlink_to(tmp_path / "gone")
    problems = {template.name: getattr(template, "problem", "") for template in folder_templates(tmp_path)}
    assert problems["pipe"] == "it cannot be read: it is no regular file"
    assert problems["folder"] == "it cannot be read: it is a folder"
    assert problems["nothing"] == "it cannot be read: No such file or directory"
    assert isinstance(local_template(tmp_path / "gone.md"), UnusableTemplate)


def test_too_many_are_refused(tmp_path: Path) -> None:
    for number in range(MAX_TEMPLATES + 1):
        (tmp_path / f"t{number}.md").write_text(GOOD)
    with pytest.raises(SettingError, match="more than 50 templates"):
        folder_templates(tmp_path)


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "templates").write_text("")
    with pytest.raises(SettingError, match="cannot be read"):
        folder_templates(tmp_path / "templates")
