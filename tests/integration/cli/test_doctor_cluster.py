"""`squire doctor` on the cluster of agents' Jobs: rights, namespace and door."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.agents.kubernetes.api import ClusterApi, connect
from squire_pipelines.cli.doctor.cluster import RIGHTS, TOO_MUCH, look_at_cluster
from squire_pipelines.sections.kubernetes import KubernetesSettings
from tests.support.stand_in_cluster import StandInCluster

DOOR = "127.0.0.1:8788"


@pytest.fixture
def cluster() -> Iterator[StandInCluster]:
    with StandInCluster() as stand_in:
        for _, resource, part, verb in TOO_MUCH:
            stand_in.denied.add((verb, f"{resource}/{part}" if part else resource))
        yield stand_in


@pytest.fixture
def api(cluster: StandInCluster, tmp_path: Path) -> Iterator[ClusterApi]:
    with connect(KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "config"))) as client:
        yield client


def test_a_cluster_in_order_is_said_to_be_so(api: ClusterApi) -> None:
    assert {line.status for line in look_at_cluster(api, DOOR)} == {"ok"}


def test_each_right_that_is_missing_is_named(cluster: StandInCluster, api: ClusterApi) -> None:
    cluster.denied |= {("create", "jobs"), ("get", "pods/log")}
    (line,) = (line for line in look_at_cluster(api, DOOR) if line.status == "fail")
    assert "create jobs, get pods/log" in line.message
    assert len(RIGHTS) == 12


def test_rights_that_reach_other_attempts_are_warned_of(cluster: StandInCluster, api: ClusterApi) -> None:
    cluster.denied -= {("list", "secrets"), ("create", "pods/exec")}
    (line,) = (line for line in look_at_cluster(api, DOOR) if line.status == "warn")
    assert "list secrets, create pods/exec" in line.message


@pytest.mark.parametrize("level", [None, "baseline"])
def test_a_namespace_that_restricts_less_is_warned_of(
    cluster: StandInCluster, api: ClusterApi, level: str | None
) -> None:
    cluster.pod_security = level
    (line,) = (line for line in look_at_cluster(api, DOOR) if line.status == "warn")
    assert "kubectl label namespace squire-agents" in (line.next_step or "")


def test_a_door_that_nobody_knows_is_warned_of(api: ClusterApi) -> None:
    (line,) = (line for line in look_at_cluster(api, "door.invalid:8788") if line.status == "warn")
    assert "door.invalid is not known" in line.message
