"""A worker's look at agents' Jobs: those of ended attempts go, and those of others are not judged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.agents.kubernetes.api import ClusterApi, connect
from squire_pipelines.agents.kubernetes.leftovers import list_jobs, remove
from squire_pipelines.sections.kubernetes import KubernetesSettings
from tests.support.stand_in_cluster import StandInCluster
from tests.support.stand_in_pods import init_state


@pytest.fixture
def cluster() -> Iterator[StandInCluster]:
    with StandInCluster() as stand_in:
        yield stand_in


@pytest.fixture
def api(cluster: StandInCluster, tmp_path: Path) -> Iterator[ClusterApi]:
    with connect(KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "config"))) as client:
        yield client


def make(api: ClusterApi, name: str, attempt: str, *, role: str = "agent") -> None:
    labels = {"squire/role": role, "squire/unit": name}
    metadata: dict[str, Any] = {"labels": labels, "annotations": {"squire/attempt": attempt} if attempt else {}}
    spec = {"template": {"metadata": metadata, "spec": {"terminationGracePeriodSeconds": 1}}}
    api.create("jobs", {"metadata": metadata | {"name": name}, "spec": spec})


def test_jobs_of_agents_are_listed_with_their_attempts_and_whether_they_have_begun(
    cluster: StandInCluster, api: ClusterApi
) -> None:
    assert list_jobs(api) == ()
    make(api, "squire-t1-1", "t1-1")
    make(api, "squire-t2-1", "t2-1")
    make(api, "other", "t3-1", role="gateway")
    make(api, "nobodys", "")
    begun = next(name for name in cluster.names("pods") if name.startswith("squire-t2-1-"))
    cluster.set_pod(begun, initContainerStatuses=init_state(None))
    assert {(job.attempt_id, job.has_begun) for job in list_jobs(api)} == {("t1-1", False), ("t2-1", True)}


def test_a_job_is_removed_once(cluster: StandInCluster, api: ClusterApi) -> None:
    make(api, "squire-t1-1", "t1-1")
    (job,) = list_jobs(api)
    assert remove(api, job) is True
    assert remove(api, job) is False
    assert cluster.names("jobs") == []
