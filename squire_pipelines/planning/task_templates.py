"""Templates of tasks: what a file says, and a request made of it with values for its parameters. Pure.

A template is a text with places `{{name}}`; `${{name}}` is GitHub's own and stays. A value is put into its place as it
is, once: nothing in it is a place or an instruction to Squire, and no template computes anything. Why so:
docs/decisions/0059-templates-are-texts.md. Where the files are is `template_files`; texts of pull requests are other
templates, `domain.templates`.
"""

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Self

from pydantic import Field, StrictInt, StrictStr, ValidationError, model_validator

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.hidden import hidden_character
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import SettingError
from squire_pipelines.planning.request_spec import MAX_TEXT_CHARS, MAX_TITLE_CHARS
from squire_pipelines.sources.front_matter import load_plain_yaml, split_block

SUFFIX = ".md"
MAX_TEMPLATE_BYTES = 64 * 2**10
MAX_TEMPLATES = 50
"""Of one place."""

MAX_PARAMETERS = 20
_MAX_LINE = 500
_MAX_VALUE = 20_000
_MAX_PROBLEM = 500
_PLACE = re.compile(r"(?<!\$)\{\{([a-z][a-z0-9_]{0,39})\}\}")
_NEARLY_A_PLACE = re.compile(r"(?<!\$)\{\{(?![a-z][a-z0-9_]{0,39}\}\})\s{0,9}\w{1,40}\s{0,9}\}\}")
_PARAMETER_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_HINT = "docs/guide/templates.md shows the form; `squire tasks templates check FILE` checks one"


class TemplateOrigin(StrEnum):
    """Where a template is from. Of two with one name the first origin's counts."""

    INSTALLATION = "installation"
    REPOSITORY = "repository"
    SQUIRE = "squire"


class ParameterType(StrEnum):
    """What a value may be."""

    LINE = "line"
    TEXT = "text"
    INTEGER = "integer"
    CHOICE = "choice"
    PATH = "path"


class TemplateParameter(FrozenModel):
    """A parameter: it is required, or has a default.

    `choices` are those of a choice, `minimum` and `maximum` bound an integer; `path` is one within the repository.
    """

    description: str = Field(min_length=1, max_length=300)
    type: ParameterType = ParameterType.LINE
    required: bool = False
    default: StrictStr | StrictInt | None = None
    choices: tuple[StrictStr, ...] = Field(default=(), max_length=50)
    minimum: StrictInt | None = None
    maximum: StrictInt | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.required is (self.default is not None):
            raise ValueError("it is `required: true`, or has a `default`")
        if (self.type is ParameterType.CHOICE) is not bool(self.choices):
            raise ValueError("a choice has `choices`, and nothing else has")
        for choice in self.choices:
            if choice != choice.strip():
                raise ValueError("a choice has blanks around it")
            self.check(choice)
        if self.type is not ParameterType.INTEGER and (self.minimum, self.maximum) != (None, None):
            raise ValueError("an integer alone has `minimum` and `maximum`")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("its `minimum` is more than its `maximum`")
        if self.default is not None:
            if isinstance(self.default, int) is not (self.type is ParameterType.INTEGER):
                raise ValueError(f"its default is no {self.type}; put words between quotes, and numbers between none")
            if self.default != "":
                self.check(str(self.default))
        return self

    def check(self, text: str) -> str:
        """Return a value as it is put into the text. Raises ValueError with what is wrong, as a clause."""
        if not text.strip():
            raise ValueError("is empty")
        if len(text) > (limit := _MAX_VALUE if self.type is ParameterType.TEXT else _MAX_LINE):
            raise ValueError(f"has more than {limit} characters")
        if self.type is ParameterType.TEXT:
            return text.strip("\n")
        text = text.strip()
        if text.splitlines() != [text] or hidden_character(text) is not None:
            raise ValueError("is not one line of text that can be seen")
        if self.type is ParameterType.INTEGER:
            return str(self._integer(text))
        if self.type is ParameterType.CHOICE and text not in self.choices:
            raise ValueError(f"is none of {', '.join(self.choices)}")
        if self.type is ParameterType.PATH:
            path = PurePosixPath(text)
            if path.is_absolute() or ".." in path.parts or "\\" in text:
                raise ValueError("is no path within the repository")
        return text

    def _integer(self, text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise ValueError("is no integer")
        number = int(text)
        if self.minimum is not None and number < self.minimum:
            raise ValueError(f"is less than {self.minimum}")
        if self.maximum is not None and number > self.maximum:
            raise ValueError(f"is more than {self.maximum}")
        return number


class _TemplateHead(FrozenModel):
    title: str = Field(min_length=1, max_length=MAX_TITLE_CHARS)
    description: str = Field(min_length=1, max_length=300)
    parameters: dict[str, TemplateParameter] = Field(default={}, max_length=MAX_PARAMETERS)


@dataclass(frozen=True, slots=True)
class TaskTemplate:
    """A template, valid.

    Args:
        name: By which a person asks for it: the file's name without `.md`.
        origin: Where it is from.
        place: The file, for people.
        title: Of the task, with places.
        description: What it is for, in one line.
        parameters: By name, in the file's order.
        body: The task's text, with places.
        digest: Changes with any word of the file.
    """

    name: str
    origin: TemplateOrigin
    place: str
    title: str
    description: str
    parameters: Mapping[str, TemplateParameter] = field(default_factory=lambda: MappingProxyType({}))
    body: str = ""
    digest: str = ""

    @property
    def label(self) -> str:
        """What a task's history has of it."""
        return f"{self.origin}:{self.name} ({self.digest})"


@dataclass(frozen=True, slots=True)
class UnusableTemplate:
    """A file that is no template, with what is wrong and what to do."""

    name: str
    origin: TemplateOrigin
    place: str
    problem: str
    hint: str = _HINT

    def error(self) -> SettingError:
        """Return it as an error."""
        return SettingError(f"the template {self.place} cannot be used: {self.problem}", hint=self.hint)


AnyTemplate = TaskTemplate | UnusableTemplate


@dataclass(frozen=True, slots=True)
class FilledTemplate:
    """A request that a template has become; `label` names the template and its version."""

    title: str
    text: str
    label: str


def read_template(file_name: str, content: bytes, origin: TemplateOrigin, place: str) -> AnyTemplate:
    """Return the template that a file is, or what is wrong with it.

    Args:
        file_name: Its name, with `.md`.
        content: Its bytes; of a file that is too large, more than may be.
        origin: Where it is from.
        place: For people.
    """
    name = file_name.removesuffix(SUFFIX)
    try:
        return _parsed(file_name, content, origin, place)
    except ValidationError as error:
        problem = _problem_of(error)
    except ValueError as error:
        problem = str(error)
    return UnusableTemplate(name, origin, place, one_line(problem, limit=_MAX_PROBLEM))


def _parsed(file_name: str, content: bytes, origin: TemplateOrigin, place: str) -> TaskTemplate:
    name = file_name.removesuffix(SUFFIX)
    if not is_template_name(name) or not file_name.endswith(SUFFIX):
        raise ValueError("its name has small letters, digits and hyphens, at most 60, and ends with .md")
    if len(content) > MAX_TEMPLATE_BYTES:
        raise ValueError(f"it has more than {MAX_TEMPLATE_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is no UTF-8, first in line {line}") from None
    for line_number, one in enumerate(text.split("\n"), 1):
        if (hidden := hidden_character(one)) is not None:
            raise ValueError(f"line {line_number} has the character U+{ord(hidden):04X}, which nobody sees")
    parts = split_block(text)
    if parts is None:
        raise ValueError("it does not begin with a block of YAML between two lines ---")
    head = load_plain_yaml(parts[0])
    if not isinstance(head, dict):
        raise ValueError("the block at the top has keys and values")  # noqa: TRY004 - the file is wrong, no type
    _check_visible(head)
    checked = _TemplateHead.model_validate(head)
    template = TaskTemplate(
        name,
        origin,
        place,
        " ".join(checked.title.split()),
        " ".join(checked.description.split()),
        MappingProxyType(checked.parameters),
        parts[1],
        hashlib.sha256(content).hexdigest()[:12],
    )
    if (problem := next(_faults(template), None)) is not None:
        raise ValueError(problem)
    return template


def _check_visible(value: object) -> None:
    """Raise ValueError for a text that is escaped in the YAML, and stands for what its file does not show."""
    if isinstance(value, str):
        if (hidden := next(filter(None, map(hidden_character, value.split("\n"))), None)) is not None:
            raise ValueError(f"the block at the top writes the character U+{ord(hidden):04X}, which nobody sees")
    elif isinstance(value, dict | list):
        for part in chain(value, value.values()) if isinstance(value, dict) else value:
            _check_visible(part)


def _faults(template: TaskTemplate) -> Iterator[str]:
    """Yield what is wrong between a template's texts and its parameters."""
    if not template.body:
        yield "it has no text below the block"
    if not template.title or not template.description:
        yield "its title or description is empty"
    for name in template.parameters:
        if not _PARAMETER_NAME.fullmatch(name):
            yield f"parameters: {name!r} is no name of small letters, digits and _"
    if len(template.body) > MAX_TEXT_CHARS:
        yield f"its text has more than {MAX_TEXT_CHARS:,} characters"
    yield from _wrong_places(template)


def _wrong_places(template: TaskTemplate) -> Iterator[str]:
    for text in (template.title, template.body):
        if (nearly := _NEARLY_A_PLACE.search(text)) is not None:
            yield f"{nearly[0]!r} is no place: write {{{{name}}}} with small letters, digits and _, without blanks"
    in_title, in_body = (_PLACE.findall(text) for text in (template.title, template.body))
    for name in (*in_title, *in_body):
        if name not in template.parameters:
            yield f"it has the place {{{{{name}}}}}, and no parameter of that name"
    for name, parameter in template.parameters.items():
        if name not in (*in_title, *in_body):
            yield f"its text has no place {{{{{name}}}}} for the parameter"
        if name in in_title and parameter.type is ParameterType.TEXT:
            yield f"the title has the place {{{{{name}}}}}, whose parameter may have several lines"


def _problem_of(error: ValidationError) -> str:
    details = error.errors()
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    where = ".".join(str(part) for part in details[0]["loc"])
    if details[0]["type"] == "extra_forbidden":
        return f"unknown key {where}{more}"
    reason = details[0]["msg"].removeprefix("Value error, ")
    return f"{where}: {reason}{more}" if where else f"{reason}{more}"


def is_template_name(name: str) -> bool:
    """Return whether a template may have this name."""
    return _NAME.fullmatch(name) is not None


def without_twins(templates: list[AnyTemplate]) -> list[AnyTemplate]:
    """Return one origin's templates, of which no two may have names that differ in the case of letters alone."""
    names = [template.name.casefold() for template in templates]
    return [
        template
        if names.count(template.name.casefold()) == 1
        else UnusableTemplate(
            template.name.casefold(),
            template.origin,
            template.place,
            "another file beside it has this name too, in letters of another case",
            hint="rename one of them",
        )
        for template in templates
    ]


def fill(template: TaskTemplate, values: Mapping[str, str]) -> FilledTemplate:
    """Return the request that a template becomes with these values.

    Raises:
        ValueError: A parameter is missing, unknown, or has a value that it may not have; all of them are named.
    """
    problems = [f"{name}: {problem}" for name, problem in parameter_problems(template, values).items()]
    if problems:
        raise ValueError(f"the template {template.name}: {'; '.join(problems)}")
    filled = {
        name: parameter.check(values[name]) if name in values else str(parameter.default)
        for name, parameter in template.parameters.items()
    }

    def put(text: str) -> str:
        return _PLACE.sub(lambda match: filled[match[1]], text)

    text = put(template.body)
    if len(text) > MAX_TEXT_CHARS:
        raise ValueError(f"the template {template.name} with these values has more than {MAX_TEXT_CHARS:,} characters")
    return FilledTemplate(one_line(put(template.title), limit=MAX_TITLE_CHARS), text, template.label)


def parameter_problems(template: TaskTemplate, values: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with each value, or with its absence, by the parameter's name."""
    problems: dict[str, str] = {}
    for name, value in values.items():
        parameter = template.parameters.get(name)
        if parameter is None:
            problems[one_line(name, limit=60)] = _unknown(name, template)
            continue
        try:
            parameter.check(value)
        except ValueError as error:
            problems[name] = f"the value {error}"
    for name, parameter in template.parameters.items():
        if parameter.required and name not in values:
            problems[name] = f"it is missing: {parameter.description}"
    return problems


def _unknown(name: str, template: TaskTemplate) -> str:
    close = difflib.get_close_matches(name[:60], template.parameters, n=1)
    if close:
        return f"there is no such parameter; did you mean {close[0]}?"
    return f"there is no such parameter; there are {', '.join(template.parameters) or 'none'}"
