"""What a setting about pull requests' texts may be, as types: reviewers, labels and templates."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from squire_pipelines.domain.branches import parse_prefix
from squire_pipelines.domain.templates import check_template
from squire_pipelines.sections.types import Label, matching

MAX_LABELS = 20
MAX_REVIEWERS = 15
"""As many as GitHub takes for one pull request."""

_LOGIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})"
_TITLE_NAMES = ("kind", "task")


def _check_title(text: str) -> str:
    if text != text.strip() or not text.isprintable():
        raise ValueError("a template of a title is one line without blanks around it")
    return check_template(text, required="title", known=_TITLE_NAMES)


def _check_body(text: str) -> str:
    if re.search(r"[^\S\n\t ]", text) or not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("a template of a text has letters, signs, line breaks and tabs alone")
    return check_template(text, required="body", known=("title", *_TITLE_NAMES))


Reviewer = Annotated[
    str, matching(rf"{_LOGIN}(?:/[A-Za-z0-9_-]{{1,100}})?", "no login and no team, like octocat or acme/core")
]
Reviewers = Annotated[tuple[Reviewer, ...], Field(max_length=MAX_REVIEWERS)]
Labels = Annotated[tuple[Label, ...], Field(max_length=MAX_LABELS)]
TitleTemplate = Annotated[str, Field(max_length=200), AfterValidator(_check_title)]
BodyTemplate = Annotated[str, Field(max_length=8000), AfterValidator(_check_body)]
BranchPrefix = Annotated[str, AfterValidator(parse_prefix)]
CommitTemplate = Annotated[str, Field(max_length=72), AfterValidator(_check_title)]
