"""GitHub as a Dagster resource: the client with its token, which is looked up when needed and never configured."""

import dagster as dg

from squire_pipelines.github.access import access_from
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.write_turns import WriteTurns
from squire_pipelines.resources.stores import SettingsResource
from squire_pipelines.secrets import Secret
from squire_pipelines.secrets.lookup import all_secrets
from squire_pipelines.secrets.redact import Redactor


class GitHubResource(dg.ConfigurableResource[GitHubClient]):
    """Makes clients for the GitHub that the settings name."""

    settings: dg.ResourceDependency[SettingsResource]

    def client(self) -> GitHubClient:
        """A client, to be used in `async with`."""
        settings = self.settings.load()
        turns = WriteTurns(settings.home.run / "github-writes")
        return GitHubClient.from_settings(settings.github, access_from(settings), write_turns=turns)

    async def git_token(self, repository: str) -> Secret | None:
        """The token to fetch and push one repository with, None when there is none. Raises GitHubError, ConfigError."""
        token = await access_from(self.settings.load()).token(repository, write=True)
        return Secret(token, name="github-token") if token else None

    def redactor(self) -> Redactor:
        """Removes every secret that we know from text that leaves."""
        return Redactor(all_secrets(self.settings.load().home))
