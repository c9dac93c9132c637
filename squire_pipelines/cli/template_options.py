"""`--template` and `--param`: a request in the words of a template, with values that the person gives."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.parameters import CompletedText
from squire_pipelines.cli.request_dialogue import RequestDialogue
from squire_pipelines.cli.unlock import unlock_store
from squire_pipelines.planning.task_templates import FilledTemplate, TaskTemplate, fill
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    from squire_pipelines.execution.task_templates import TemplateLibrary
    from squire_pipelines.github.client import GitHubClient


TEMPLATE_NAME = CompletedText("name", "template")


class _ParamType(click.ParamType[tuple[str, str]]):
    """A parameter's name and its value, with `=` between them."""

    name = "name=value"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the name and the value. Raises click.BadParameter."""
        if isinstance(value, tuple):
            return value
        name, sign, text = value.partition("=")
        if not sign or not name:
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        try:
            text.encode()
        except UnicodeError:
            self.fail(f"the value of {name!r} is no UTF-8", param, ctx)
        return name, text


def params_option(callback: Callable[..., object]) -> Callable[..., object]:
    """Add `--param`, as `params`."""
    return click.option(
        "--param",
        "params",
        type=_ParamType(),
        multiple=True,
        metavar="NAME=VALUE",
        help="Put this value into the template; may be repeated.",
    )(callback)


def template_options(callback: Callable[..., object]) -> Callable[..., object]:
    """Add `--template` and `--param`."""
    option = click.option(
        "--template",
        type=TEMPLATE_NAME,
        metavar="NAME",
        help="Ask in the words of this template: see `squire tasks templates list`.",
    )
    return option(params_option(callback))


def github_opener(context: CliContext, settings: Settings) -> Callable[[], "GitHubClient"]:
    """Return what opens a client of GitHub, which raises ConfigError where there is no access."""
    from squire_pipelines.github.client import GitHubClient  # noqa: PLC0415 - likewise
    from squire_pipelines.github.tenant_access import access_to_all  # noqa: PLC0415 - the client, seldom needed

    def open_client() -> GitHubClient:
        unlock_store(context, settings.secret_sources)
        return GitHubClient(settings.github, access_to_all(settings, required=True))

    return open_client


def open_library(context: CliContext, repository: str | None) -> "TemplateLibrary":
    """Return the templates of this installation, and by which settings those of a repository count."""
    from squire_pipelines.execution.repository_settings import settings_in  # noqa: PLC0415 - SQLAlchemy
    from squire_pipelines.execution.task_templates import TemplateLibrary  # noqa: PLC0415 - the client, seldom needed

    settings = context.settings if repository is None else settings_in(context.ledger, context.settings, repository)
    return TemplateLibrary(settings, context.home.task_templates, github_opener(context, settings))


def find_template(context: CliContext, name: str, repository: str | None) -> TaskTemplate:
    """Return the template that counts by this name. Raises as `TemplateLibrary.find` does."""
    return asyncio.run(open_library(context, repository).find(name, repository))


def values_of(params: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return the values by name. Raises BadParameter for a name that is given twice."""
    values: dict[str, str] = {}
    for name, value in params:
        if name in values:
            raise click.BadParameter(f"{name!r} is given twice", param_hint="--param")
        values[name] = value
    return values


def fill_template(template: TaskTemplate, values: Mapping[str, str]) -> FilledTemplate:
    """Return the request that a template becomes. Raises BadParameter."""
    try:
        return fill(template, values)
    except ValueError as error:
        problem = f"{error}; `squire tasks templates show {template.name}` has its parameters"
        raise click.BadParameter(problem, param_hint="--param") from error


def filled_template(
    context: CliContext,
    name: str | None,
    params: tuple[tuple[str, str], ...],
    *,
    repository: str,
    dialogue: RequestDialogue | None,
) -> FilledTemplate | None:
    """Return the request in a template's words; None where no template is named.

    With a dialogue, the person is asked for values that are missing.

    Raises:
        UsageError: A value is missing or wrong, or there are values without a template.
        ConfigError, RefusedError, GitHubError: See `TemplateLibrary.find`.
    """
    if name is None:
        if params:
            raise click.UsageError("--param is for a template: name it with --template")
        return None
    template = find_template(context, name, repository)
    values = values_of(params)
    return fill_template(template, values if dialogue is None else dialogue.ask_values(template, values))
