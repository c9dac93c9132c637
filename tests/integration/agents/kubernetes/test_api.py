"""Requests to an API server: what it refuses, what it has forgotten, and what is left open when it is away."""

import json
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.agents.kubernetes.api import ClusterApi, GoneError, connect
from squire_pipelines.agents.kubernetes.pod_log import PodLog
from squire_pipelines.agents.kubernetes.pod_watch import PodWatch
from squire_pipelines.agents.kubernetes.refusals import ClusterRefusalError
from squire_pipelines.agents.logs import LogSink
from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import ConfigError, EngineError
from squire_pipelines.sections.kubernetes import KubernetesSettings
from tests.support.stand_in_cluster import PodLogFile, StandInCluster

UNIT = "squire/unit=squire-t1-1"


def job_manifest(name: str = "squire-t1-1") -> dict[str, Any]:
    labels = {"squire/unit": name}
    spec = {"terminationGracePeriodSeconds": 5}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def test_a_name_that_is_taken_is_a_refusal_with_its_status(api: ClusterApi) -> None:
    assert api.create("jobs", job_manifest())["metadata"]["uid"]
    with pytest.raises(ClusterRefusalError) as refusal:
        api.create("jobs", job_manifest())
    assert (refusal.value.status, refusal.value.reason) == (409, "AlreadyExists")


def test_what_is_not_there_is_none(api: ClusterApi) -> None:
    assert api.read("jobs", "none") is None
    assert api.delete("jobs", "none") is False


def test_a_secret_goes_with_its_job(cluster: StandInCluster, api: ClusterApi) -> None:
    uid = api.create("jobs", job_manifest())["metadata"]["uid"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "squire-t1-1", "uid": uid}
    api.create("secrets", {"metadata": {"name": "squire-t1-1", "ownerReferences": [owner]}})
    assert api.delete("jobs", "squire-t1-1") is True
    assert cluster.names("jobs") == cluster.names("pods") == cluster.names("secrets") == []


def test_what_the_server_cannot_do_now_is_told_from_what_it_refuses(cluster: StandInCluster, api: ClusterApi) -> None:
    cluster.refusals["GET", "pods"] = (403, 'pods is forbidden: User "u" cannot list resource "pods"')
    with pytest.raises(ClusterRefusalError, match="cannot list resource"):
        api.list("pods")
    cluster.refusals["GET", "pods"] = (503, "apiserver is shutting down")
    with pytest.raises(EngineError, match="shutting down"):
        api.list("pods")
    cluster.is_away = True
    with pytest.raises(EngineError, match="does not answer"):
        api.version()


def test_all_requests_together_end_at_a_deadline(settings: KubernetesSettings) -> None:
    with connect(settings, deadline=Deadline.after(0)) as late, pytest.raises(EngineError, match="timed out"):
        late.version()


def test_a_right_is_asked_for_by_its_name(cluster: StandInCluster, api: ClusterApi) -> None:
    cluster.denied.add(("get", "pods/log"))
    assert api.may("create", "batch", "jobs") is True
    assert api.may("get", "", "pods", "log") is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"server": "http://cluster.example.com:8080"}, "no https"),
        ({"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify"),
    ],
)
def test_a_server_whose_identity_is_not_checked_is_refused(
    settings: KubernetesSettings, changes: dict[str, Any], message: str
) -> None:
    path = settings.kubeconfig
    assert path is not None
    document = json.loads(path.read_text(encoding="utf-8"))
    document["clusters"][0]["cluster"] |= changes
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        connect(settings)


def test_a_token_from_a_program_is_refused(settings: KubernetesSettings) -> None:
    path = settings.kubeconfig
    assert path is not None
    document = json.loads(path.read_text(encoding="utf-8"))
    run = {"command": "aws", "apiVersion": "client.authentication.k8s.io/v1beta1", "args": []}
    document["users"][0]["user"] = {"exec": run}
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ConfigError, match="from a program"):
        connect(settings)


@pytest.mark.parametrize("text", ["", "[1]", "a: [", "clusters: 1"])
def test_a_kubeconfig_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        connect(KubernetesSettings(kubeconfig=path))
    with pytest.raises(ConfigError):
        connect(KubernetesSettings(kubeconfig=tmp_path / "missing"))


def test_a_watch_from_a_forgotten_version_says_so(cluster: StandInCluster, api: ClusterApi) -> None:
    version = api.list("pods").version
    cluster.forget()
    with pytest.raises(GoneError):
        list(api.watch("pods", labels=UNIT, version=version))


def test_pods_are_followed_over_cuts_and_forgotten_versions(cluster: StandInCluster, api: ClusterApi) -> None:
    with PodWatch(api, UNIT, patience_s=30) as watch:
        api.create("jobs", job_manifest())
        assert watch.wait_for(lambda: watch.pod is not None, 10)
        name = cluster.names("pods")[0]
        cluster.cut_streams()
        cluster.forget()
        cluster.set_pod(name, phase="Running")
        assert watch.wait_for(lambda: watch.pod is not None and watch.pod.phase == "Running", 10)
        cluster.remove_pod(name)
        assert watch.wait_for(lambda: watch.is_gone, 10)
        assert not watch.has_second_pod


def test_a_server_that_is_away_for_a_while_loses_nothing(cluster: StandInCluster, api: ClusterApi) -> None:
    with PodWatch(api, UNIT, patience_s=30) as watch:
        api.create("jobs", job_manifest())
        assert watch.wait_for(lambda: watch.pod is not None, 10)
        cluster.is_away = True
        cluster.cut_streams()
        assert watch.wait_for(lambda: watch.losses > 0, 10)
        cluster.set_pod(cluster.names("pods")[0], phase="Succeeded")
        cluster.is_away = False
        assert watch.wait_for(lambda: watch.pod is not None and watch.pod.is_over, 10)


def test_patience_with_a_server_that_is_away_ends(cluster: StandInCluster, api: ClusterApi) -> None:
    cluster.is_away = True
    with PodWatch(api, UNIT, patience_s=0.1) as watch, pytest.raises(EngineError, match="did not answer for"):
        watch.wait_for(lambda: False, 20)


def test_a_missing_right_ends_the_following_at_once(cluster: StandInCluster, api: ClusterApi) -> None:
    cluster.refusals["GET", "pods"] = (403, "pods is forbidden")
    with PodWatch(api, UNIT, patience_s=60) as watch, pytest.raises(ClusterRefusalError, match="forbidden"):
        watch.wait_for(lambda: False, 20)


def test_a_right_that_is_missing_for_a_while_is_waited_for(cluster: StandInCluster, api: ClusterApi) -> None:
    api.create("jobs", job_manifest())
    with PodWatch(api, UNIT, patience_s=60) as watch:
        assert watch.wait_for(lambda: watch.is_listed, 20)
        cluster.refusals["GET", "pods"] = (403, "pods is forbidden")
        cluster.cut_streams()
        assert watch.wait_for(lambda: watch.losses > 1, 20)
        del cluster.refusals["GET", "pods"]
        cluster.remove_pod(cluster.names("pods")[0])
        assert watch.wait_for(lambda: watch.is_gone, 20)


def test_a_log_is_whole_over_cuts(cluster: StandInCluster, api: ClusterApi, tmp_path: Path) -> None:
    api.create("jobs", job_manifest())
    name = cluster.names("pods")[0]
    cluster.logs[name] = PodLogFile()
    sink = LogSink(tmp_path / "agent.log", limit_bytes=10**6)
    log = PodLog(api, name, sink)
    expected = []
    for number in range(5):
        lines = [f"{number} {line}" for line in range(20)]
        expected += lines
        cluster.write_log(name, *lines)
        cluster.cut_streams()
    cluster.logs[name].is_over = True
    log.finish()
    sink.close()
    assert (tmp_path / "agent.log").read_text(encoding="utf-8").splitlines() == expected


def test_a_log_that_is_silent_for_long_is_begun_again(
    cluster: StandInCluster, api: ClusterApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("squire_pipelines.agents.kubernetes.api.SILENCE_S", 0.2)
    api.create("jobs", job_manifest())
    name = cluster.names("pods")[0]
    cluster.write_log(name, "first")
    with pytest.raises(EngineError):
        list(api.log(name, "agent", follow=True))
    sink = LogSink(tmp_path / "agent.log", limit_bytes=10**6)
    log = PodLog(api, name, sink)
    cluster.write_log(name, "second")
    cluster.logs[name].is_over = True
    log.finish()
    sink.close()
    assert (tmp_path / "agent.log").read_text(encoding="utf-8").splitlines() == ["first", "second"]
