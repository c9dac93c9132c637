"""`squire tasks templates`: what requests can be made of, and what is wrong with files that are no templates."""

import asyncio
from pathlib import Path

import click

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_context, write_fields
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.parameters import REPOSITORY
from squire_pipelines.cli.template_options import (
    TEMPLATE_NAME,
    fill_template,
    find_template,
    open_library,
    params_option,
    values_of,
)
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import ConfigError, ExitCode
from squire_pipelines.execution.task_templates import ListedTemplate, why_no_repository_templates
from squire_pipelines.planning.task_templates import TaskTemplate, TemplateParameter, UnusableTemplate
from squire_pipelines.planning.template_files import local_template
from squire_pipelines.terminal.output import write_line

templates = LazyGroup(
    name="templates",
    help="""List, show and check templates of requests, which `squire tasks new --template` uses.

    They are this installation's (the folder `templates` beside config.toml), a repository's
    (`.github/squire/templates` on its default branch) and Squire's own; of two with one name the first counts.
    """,
)
_repository = click.option(
    "--repository", type=REPOSITORY, help="Also read this repository's own templates, from its default branch."
)


_WRAPPED = ("parameters", "description")


@templates.command("list", examples=("squire tasks templates list", "squire tasks templates list --repository o/r"))
@_repository
@json_option
@with_context
def list_templates(context: CliContext, repository: str | None, *, as_json: bool) -> None:
    """List the templates by where they are from, with what each is for."""
    rows = [_row(listed) for listed in _all(context, repository)]
    columns: Columns = {
        "name": "name",
        "from": "origin",
        "parameters": lambda row: " ".join(row["parameters"]),
        "description": lambda row: row["description"] or f"cannot be used: {row['problem']}",
        "shadowed by": "shadowed_by",
    }
    context.write_list(rows, columns, as_json=as_json, empty="There are no templates.", keep=("name",), wrap=_WRAPPED)


@templates.command(
    "show",
    examples=(
        "squire tasks templates show fix-ci",
        "squire tasks templates show squire:raise-coverage --param path=src/cli",
    ),
)
@click.argument("name", type=TEMPLATE_NAME)
@_repository
@params_option
@json_option
@with_context
def show(
    context: CliContext, name: str, repository: str | None, params: tuple[tuple[str, str], ...], *, as_json: bool
) -> None:
    """Show a template with its parameters; with --param, the request that it becomes.

    NAME may begin with where the template is from: installation:NAME, repository:NAME or squire:NAME.
    """
    template = find_template(context, name, _known(context, repository))
    filled = fill_template(template, values_of(params)) if params else None
    title, text = (template.title, template.body) if filled is None else (filled.title, filled.text)
    if as_json:
        emit_json({**_head(template), "title": title, "text": text, "parameters": _parameters(template)})
        return
    write_fields(_head(template), {name: name for name in ("name", "origin", "place", "description", "digest")})
    for parameter_name, parameter in template.parameters.items():
        write_line(f"  --param {parameter_name}=  {_described(parameter)}")
    write_line()
    write_line(title)
    write_line()
    write_line(text)


@templates.command(
    "check",
    examples=("squire tasks templates check", "squire tasks templates check .github/squire/templates/release.md"),
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@_repository
@json_option
@with_context
def check(context: CliContext, files: tuple[Path, ...], repository: str | None, *, as_json: bool) -> None:
    """Check files, or all templates there are, and say what is wrong with each; the exit code is then 3.

    A FILE may lie anywhere, such as in a checkout of a repository, before it is merged.
    """
    local = [ListedTemplate(local_template(path)) for path in files]
    rows = [_row(listed) for listed in (local or _all(context, repository))]
    wrong = [row for row in rows if row["problem"]]
    if as_json:
        emit_json(rows)
    else:
        for row in rows:
            write_line(one_line(f"{row['place']}: {row['problem'] or 'ok'}", limit=2_000))
    if wrong:
        raise SystemExit(ExitCode.CONFIGURATION)


def _all(context: CliContext, repository: str | None) -> tuple[ListedTemplate, ...]:
    repository = _known(context, repository)
    library = open_library(context, repository)
    if repository is not None and (why_not := why_no_repository_templates(library.settings, repository)) is not None:
        note(f"the templates of {repository} do not count: {why_not}")
    return asyncio.run(library.all(repository))


def _known(context: CliContext, repository: str | None) -> str | None:
    """Return a repository's name as the settings spell it. Raises ConfigError."""
    if repository is None:
        return None
    name = context.settings.spelling_of(repository)
    if name is None:
        hint = f"add it to `repositories` in {context.config_path}"
        raise ConfigError(f"{repository} is not among the repositories of the settings", hint=hint)
    return name


def _head(template: TaskTemplate) -> dict[str, object]:
    names = ("name", "origin", "place", "description", "digest")
    return {name: getattr(template, name) for name in names}


def _parameters(template: TaskTemplate) -> dict[str, object]:
    return {name: parameter.model_dump(mode="json") for name, parameter in template.parameters.items()}


def _row(listed: ListedTemplate) -> dict[str, object]:
    template = listed.template
    usable = template if isinstance(template, TaskTemplate) else None
    return {
        "name": template.name,
        "origin": template.origin,
        "place": template.place,
        "description": usable.description if usable is not None else "",
        "parameters": _parameters(usable) if usable is not None else {},
        "problem": template.problem if isinstance(template, UnusableTemplate) else None,
        "shadowed_by": listed.shadowed_by,
    }


def _described(parameter: TemplateParameter) -> str:
    """Return what a parameter is, in one line."""
    bounds = [f"from {parameter.minimum}"] if parameter.minimum is not None else []
    bounds += [f"up to {parameter.maximum}"] if parameter.maximum is not None else []
    kind = " or ".join(parameter.choices) or " ".join((parameter.type, *bounds))
    default = "required" if parameter.required else f"by default {parameter.default!r}"
    return f"{parameter.description} ({kind}; {default})"
