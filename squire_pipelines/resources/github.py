"""The resource `github`: vends `github.connection.GitHub`."""

from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines.resources.stores import opened_ledger
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    from squire_pipelines.github.connection import GitHub


class GitHubResource(dg.ConfigurableResource["GitHub"]):
    """Vends the GitHub that the settings name."""

    settings: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> "GitHub":  # noqa: ARG002 - Dagster's signature
        """Return GitHub; its secrets are looked up when they are needed and never configured."""
        from squire_pipelines.github.connection import GitHub  # noqa: PLC0415 - httpx, for the runs that need it

        return GitHub(self.settings, opened_ledger(self.settings.resolved_ledger_url))
