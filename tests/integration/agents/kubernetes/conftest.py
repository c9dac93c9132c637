"""A stand-in cluster, and a client of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.agents.kubernetes.api import ClusterApi, connect
from squire_pipelines.sections.kubernetes import KubernetesSettings
from tests.support.stand_in_cluster import StandInCluster


@pytest.fixture
def cluster() -> Iterator[StandInCluster]:
    with StandInCluster() as stand_in:
        yield stand_in


@pytest.fixture
def settings(cluster: StandInCluster, tmp_path: Path) -> KubernetesSettings:
    return KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig"), timeout_s=5, door="127.0.0.1:9")


@pytest.fixture
def api(settings: KubernetesSettings) -> Iterator[ClusterApi]:
    with connect(settings) as client:
        yield client
