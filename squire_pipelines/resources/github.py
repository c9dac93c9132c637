"""GitHub as a Dagster resource: the client with its token, which is looked up when needed and never configured."""

import dagster as dg

from squire_pipelines.github.client import GitHubClient
from squire_pipelines.resources.stores import SettingsResource
from squire_pipelines.secrets import Secret
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.secrets.redact import Redactor


class GitHubResource(dg.ConfigurableResource[GitHubClient]):
    """Makes clients for the GitHub that the settings name."""

    settings: dg.ResourceDependency[SettingsResource]

    def client(self) -> GitHubClient:
        """A client, to be used in `async with`."""
        settings = self.settings.load()
        secret = self.secret()
        return GitHubClient.from_settings(settings.github, secret.reveal() if secret else None)

    def secret(self) -> Secret | None:
        """The token, or None where public repositories are read without one."""
        return find_secret("github-token", self.settings.load().home)

    def redactor(self) -> Redactor:
        """Removes every secret that we know from text that leaves."""
        home = self.settings.load().home
        found = (find_secret(name, home) for name in ("github-token", "webhook-secret", "model-key"))
        return Redactor([secret.reveal() for secret in found if secret])
