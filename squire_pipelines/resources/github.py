"""The resource `github`: vends `github.connection.GitHub`."""

import dagster as dg

from squire_pipelines.github.connection import GitHub
from squire_pipelines.settings import Settings


class GitHubResource(dg.ConfigurableResource[GitHub]):
    """Vends the GitHub that the settings name."""

    settings: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> GitHub:  # noqa: ARG002 - Dagster's signature
        """Return GitHub; its secrets are looked up when they are needed and never configured."""
        return GitHub(self.settings)
