"""How Jobs of a cluster are made and watched, as the settings say; knows nothing of the cluster's library."""

from dataclasses import dataclass

from squire_pipelines.agents.door import DoorRegistry
from squire_pipelines.sections.kubernetes import KubernetesSettings


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How Jobs are made and watched, as the settings say.

    Args:
        settings: Of the cluster.
        doors: Says to all workers where an attempt's door is.
        address: By which other workers reach this machine.
        tenant: Whose the repository is.
        patience_s: How long the API server may be away during a run.
    """

    settings: KubernetesSettings
    doors: DoorRegistry
    address: str = "127.0.0.1"
    tenant: str = ""
    patience_s: float = 60.0
