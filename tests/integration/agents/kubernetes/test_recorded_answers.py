"""Answers of a real API server, Kubernetes 1.20.2, with names changed: they are read, and the stand-in's are alike."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from squire_pipelines.agents.kubernetes.pod_endings import start_problem, verdict
from squire_pipelines.agents.kubernetes.pod_status import read_job, read_pod
from squire_pipelines.domain.endings import Cause
from tests.support.stand_in_cluster import NAMESPACE, StandInCluster

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("answers_of_1_20.json").read_text(encoding="utf-8"))
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def shapes(value: Any, path: str = "") -> set[str]:
    """Return the paths of an answer with the kinds of their values; of a list, those of its first element."""
    if isinstance(value, dict):
        return {shape for key, item in value.items() for shape in shapes(item, f"{path}.{key}")}
    if isinstance(value, list):
        return shapes(value[0], f"{path}[]") if value else set()
    return {f"{path}: {type(value).__name__}"}


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [("oom_main", 137, "OOMKilled"), ("oom_child", 0, "OOMKilled"), ("timeout", 143, "Error")],
)
def test_a_real_pods_end_is_read(name: str, code: int, reason: str) -> None:
    agent = read_pod(RECORDED[f"pod_{name}"]["body"]).container("agent")
    assert agent is not None
    assert (agent.exit_code, agent.ended_reason) == (code, reason)
    assert agent.started_at is not None
    assert agent.image_id


def test_a_real_pod_that_waits_says_why() -> None:
    image, node = (start_problem(read_pod(RECORDED[f"pod_{name}"]["body"])) for name in ("image", "node"))
    assert image is not None
    assert node is not None
    assert image.trouble == "image"
    assert node.trouble == "unschedulable"
    assert "node affinity" in node.message


def test_a_real_eviction_is_the_pods_own_doing() -> None:
    outcome = verdict(read_pod(RECORDED["pod_evicted"]["body"]))
    assert outcome is not None
    assert (outcome.cause, outcome.code) == (Cause.DISK_FULL, "storage_limit")


def test_a_real_job_that_is_being_deleted_is_read() -> None:
    assert read_job(RECORDED["job_ending"]["body"]).is_ending
    assert not read_job(RECORDED["create_job"]["body"]).is_ending


def test_the_stand_in_answers_as_a_real_server_does(cluster: StandInCluster) -> None:
    manifest = {key: value for key, value in RECORDED["create_job"]["body"].items() if key in {"kind", "apiVersion"}}
    manifest |= {"metadata": {"name": "rec", "labels": {"squire/role": "agent"}}}
    pod_template = {"metadata": {"labels": {"squire/role": "agent"}}, "spec": {"terminationGracePeriodSeconds": 5}}
    manifest |= {"spec": {"backoffLimit": 0, "template": pod_template}}
    review = {"spec": {"resourceAttributes": {"verb": "create", "resource": "jobs", "namespace": NAMESPACE}}}
    with httpx2.Client(base_url=cluster.url) as http:
        answers = {
            "create_job": http.post(JOBS, json=manifest),
            "create_again": http.post(JOBS, json=manifest),
            "missing": http.get(f"{JOBS}/none"),
            "list_empty": http.get(f"{PODS}?labelSelector=squire/role=none"),
            "list_pods": http.get(f"{PODS}?labelSelector=squire/role=agent"),
            "log_waiting": http.get(f"{PODS}/{cluster.names('pods')[0]}/log?container=none"),
            "review": http.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=review),
        }
        cluster.forget()
        gone = http.get(f"{PODS}?watch=true&resourceVersion=1&timeoutSeconds=1")
    for name, answer in answers.items():
        assert answer.status_code == RECORDED[name]["status"], name
        assert shapes(answer.json()) <= shapes(RECORDED[name]["body"]), name
    assert gone.status_code == RECORDED["watch_gone"]["status"]
    assert shapes(json.loads(gone.text.splitlines()[0])) <= shapes(RECORDED["watch_gone"]["body"][0])
