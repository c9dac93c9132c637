"""The templates that a person may ask by: an installation's, a repository's and Squire's, in this order.

Of two with one name the first counts, also where it cannot be used: another text than the one that somebody put there
is never taken in its place. `ORIGIN:NAME` asks for that of one origin. A repository's own are read from its default
branch when they are asked for, so that nothing of them has to be kept and kept true.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.domain.authority import RepositoryPermission
from squire_pipelines.errors import ConfigError, GitHubError, RefusedError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.template_folder import repository_template, repository_templates
from squire_pipelines.planning.task_templates import AnyTemplate, TaskTemplate, TemplateOrigin, is_template_name
from squire_pipelines.planning.template_files import folder_templates, packaged_templates
from squire_pipelines.settings.model import Settings

OpenClient = Callable[[], GitHubClient]


@dataclass(frozen=True, slots=True)
class ListedTemplate:
    """A template among the others; `shadowed_by` is the origin whose template of the same name counts."""

    template: AnyTemplate
    shadowed_by: TemplateOrigin | None = None


def why_no_repository_templates(settings: Settings, repository: str) -> str | None:
    """Return why a repository's own templates do not count; None where they do.

    What lies on a default branch was put there by somebody who may write. It is no more than that person's word.
    """
    trust = settings.trust_for(repository)
    if not trust.repository_files:
        return "the operator has switched repositories' own files off (trust.repository_files)"
    permission = settings.trust_rules_for(repository).min_permission
    if permission.rank > RepositoryPermission.WRITE.rank:
        return f"all who may write can change them, and work starts here from the permission {permission} on"
    return None


@dataclass(frozen=True, slots=True)
class TemplateLibrary:
    """The templates of an installation.

    Args:
        settings: Say whether a repository's own count.
        folder: The installation's own.
        open_client: Opens what asks GitHub; called only for a repository's own. Raises ConfigError.
    """

    settings: Settings
    folder: Path
    open_client: OpenClient

    async def all(self, repository: str | None) -> tuple[ListedTemplate, ...]:
        """Return all templates by origin and name, with those of a repository where one is named.

        Raises:
            ConfigError: A folder cannot be read or has too many files, or there is no access to GitHub.
            GitHubError: The repository's could not be read.
        """
        own: tuple[AnyTemplate, ...] = ()
        if repository is not None and why_no_repository_templates(self.settings, repository) is None:
            async with self.open_client() as client:
                own = await repository_templates(client, repository)
        return tuple(_listed((*folder_templates(self.folder), *own, *packaged_templates())))

    async def find(self, name: str, repository: str | None) -> TaskTemplate:
        """Return the template that counts by this name, which may begin with an origin and a colon.

        Raises:
            SettingError: It cannot be used.
            ConfigError: There is none, or there is no access to GitHub.
            RefusedError: A repository's own is asked for, and does not count.
            GitHubError: The repository's could not be read.
        """
        prefix, _, bare = name.rpartition(":")
        origins = list(TemplateOrigin) if not prefix else [one for one in TemplateOrigin if one.value == prefix]
        for origin in origins if is_template_name(bare) else ():
            template = await self._read_of(origin, bare, repository, is_meant=bool(prefix))
            if isinstance(template, TaskTemplate):
                return template
            if template is not None:
                raise template.error()
        raise ConfigError(
            f"there is no template {name!r}",
            hint="`squire tasks templates list` names them; those of a repository with `--repository owner/name`",
        )

    async def _read_of(
        self, origin: TemplateOrigin, name: str, repository: str | None, *, is_meant: bool
    ) -> AnyTemplate | None:
        if origin is TemplateOrigin.INSTALLATION:
            return _named(folder_templates(self.folder), name)
        if origin is TemplateOrigin.SQUIRE:
            return _named(packaged_templates(), name)
        if repository is None:
            return None
        if (why_not := why_no_repository_templates(self.settings, repository)) is not None:
            if not is_meant:
                return None
            raise RefusedError(
                f"templates of {repository} do not count: {why_not}",
                hint=f"put the file into {self.folder}, or let the repository's count",
            )
        try:
            async with self.open_client() as client:
                return await repository_template(client, repository, name)
        except (ConfigError, GitHubError) as error:
            advice = f"no template on this machine is called {name}, see `squire tasks templates list`"
            if _named(packaged_templates(), name) is not None:
                advice = f"`{TemplateOrigin.SQUIRE}:{name}` is Squire's own, whatever the repository has"
            error.hint = f"{error.hint}; {advice}" if error.hint else advice
            raise


def _named(templates: Iterable[AnyTemplate], name: str) -> AnyTemplate | None:
    return next((template for template in templates if template.name == name), None)


def _listed(templates: Iterable[AnyTemplate]) -> Iterable[ListedTemplate]:
    first: dict[str, TemplateOrigin] = {}
    for template in templates:
        origin = first.setdefault(template.name, template.origin)
        yield ListedTemplate(template, None if origin is template.origin else origin)
