"""The rule that no two servers of one home listen on one port."""

from itertools import combinations

from squire_pipelines.sections.board import BoardSettings
from squire_pipelines.sections.kubernetes import KubernetesSettings
from squire_pipelines.sections.observability import ObservabilitySettings
from squire_pipelines.sections.operation import PipelineSettings
from squire_pipelines.sections.webhooks import WebhookSettings
from squire_pipelines.settings.keys import SettingValueError


def check_ports_differ(
    webhooks: WebhookSettings,
    pipeline: PipelineSettings,
    observability: ObservabilitySettings,
    board: BoardSettings,
    kubernetes: KubernetesSettings,
) -> None:
    """Raise SettingValueError where two servers have one port; 0 is any free one, and never another's."""
    ports = [
        (("webhooks", "port"), webhooks.port),
        (("pipeline", "webserver_port"), pipeline.webserver_port),
        *([(("observability", "port"), observability.port)] if observability.enabled else []),
        *([(("board", "port"), board.port)] if board.enabled else []),
        *([(("kubernetes", "door_port"), kubernetes.door_port)] if kubernetes.door is not None else []),
    ]
    for (first, port), (second, other) in combinations(ports, 2):
        if port == other and port:
            # The key that is named is the one to change: the endpoint's, the board's or the workers', if one is theirs.
            key = second if second[0] in {"observability", "board", "kubernetes"} else first
            names = f"{'.'.join(first)} and {'.'.join(second)}"
            raise SettingValueError(f"{names} are both {port}: set one of them to another", key=key)
