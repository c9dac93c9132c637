"""The annotations by which ops, assets and sensors ask for a resource.

Dagster evaluates them when the definitions are imported, which every run does. Type checkers see the classes; Dagster,
which does not look at them, sees any object, so that SQLAlchemy and httpx are imported by the runs that need them.
"""

from typing import TYPE_CHECKING, TypeAlias

import dagster as dg

from squire_pipelines.settings.model import Settings

SettingsParam: TypeAlias = dg.ResourceParam[Settings]

if TYPE_CHECKING:
    from squire_pipelines.github.connection import GitHub
    from squire_pipelines.ledger.store import Ledger

    LedgerParam: TypeAlias = dg.ResourceParam[Ledger]
    GitHubParam: TypeAlias = dg.ResourceParam[GitHub]
else:
    LedgerParam = GitHubParam = dg.ResourceParam[object]
