"""Reads templates of tasks from the head of a repository's default branch, where only those write who may.

A branch or a pull request's head is never asked for. What the texts mean is `planning.task_templates`.
"""

import asyncio

from squire_pipelines.domain.presets import PresetPlace
from squire_pipelines.errors import GitHubNotFoundError, SettingError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GraphQLModel, Text, parse
from squire_pipelines.github.repository_file import read_file
from squire_pipelines.planning.task_templates import (
    MAX_TEMPLATE_BYTES,
    MAX_TEMPLATES,
    SUFFIX,
    AnyTemplate,
    TemplateOrigin,
    UnusableTemplate,
    read_template,
)

FOLDER = ".github/squire/templates"
_AT_ONCE = 8


class _Entry(GraphQLModel):
    name: Text


class _Folder(GraphQLModel):
    entries: tuple[_Entry, ...] | None = None  # none where that name is not a folder's


class _Repository(GraphQLModel):
    template_folder: _Folder | None = None


async def repository_template(client: GitHubClient, repository: str, name: str) -> AnyTemplate | None:
    """Return one template of a repository, as the default branch's head has it; None where there is none.

    Raises:
        GitHubNotFoundError: There is no such repository, or the token may not see it.
        GitHubError: Anything else.
    """
    path = f"{FOLDER}/{name}{SUFFIX}"
    place = f"{repository}//{path}"
    file = await read_file(client, PresetPlace(repository, path))
    if file.is_no_file:
        return UnusableTemplate(name, TemplateOrigin.REPOSITORY, place, "it is no file")
    if file.blob_sha is None:
        return None
    if file.size <= MAX_TEMPLATE_BYTES and file.text is None:
        return UnusableTemplate(name, TemplateOrigin.REPOSITORY, place, "it is no text in UTF-8")
    content = bytes(MAX_TEMPLATE_BYTES + 1) if file.text is None else file.text.encode("utf-8", "surrogatepass")
    return read_template(f"{name}{SUFFIX}", content, TemplateOrigin.REPOSITORY, place)


async def repository_templates(client: GitHubClient, repository: str) -> tuple[AnyTemplate, ...]:
    """Return all templates of a repository by name; none where it has no such folder.

    Raises:
        SettingError: There are too many.
        GitHubError: See `repository_template`.
    """
    owner, _, name = repository.partition("/")
    request = "the query template_folder"
    variables = {"owner": owner, "name": name, "expression": f"HEAD:{FOLDER}"}
    content = (await client.query("template_folder", variables)).whole().get("repository")
    if content is None:
        raise GitHubNotFoundError(
            f"there is no repository {repository}, or the token may not see it",
            hint="check the name and the token's access",
            context={"request": request},
        )
    folder = parse(_Repository, content, request=request).template_folder
    names = sorted(entry.name for entry in (folder and folder.entries) or () if entry.name.endswith(SUFFIX))
    if len(names) > MAX_TEMPLATES:
        raise SettingError(
            f"{repository}//{FOLDER} has more than {MAX_TEMPLATES} templates", hint="remove those that nobody uses"
        )
    turns = asyncio.Semaphore(_AT_ONCE)

    async def read(file_name: str) -> AnyTemplate | None:
        async with turns:
            return await repository_template(client, repository, file_name.removesuffix(SUFFIX))

    templates = await asyncio.gather(*map(read, names))
    return tuple(template for template in templates if template is not None)
