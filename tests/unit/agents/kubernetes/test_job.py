"""An attempt's Job: what confines its pod, line by line, and that the API of the oldest and newest version takes it."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.agents.kubernetes import names
from squire_pipelines.agents.kubernetes.job import JobPlan, deadline_s, job, secret, termination_s
from squire_pipelines.sections.kubernetes import KubernetesSettings, TolerationSettings
from tests.support.attempts import ATTEMPT_ID, MIB, make_inputs, small_limits

VERSIONS = (kubernetes_validate.utils.all_versions()[0], kubernetes_validate.latest_version())
DOOR = {"SQUIRE_DOOR": "10.96.0.12:8788", "SQUIRE_DOOR_UNIT": ATTEMPT_ID}
FULL = KubernetesSettings(
    runtime_class="gvisor",
    priority_class="squire-agent",
    image_pull_secret="registry",
    node_selector={"pool": "agents"},
    tolerations=(TolerationSettings(key="agents", operator="Exists"),),
)


def made(tmp_path: Path, settings: KubernetesSettings | None = None, **limits: float) -> dict[str, Any]:
    inputs = make_inputs(tmp_path, command=("true",), limits=small_limits(**limits))
    return job(inputs, JobPlan(settings or KubernetesSettings(), DOOR, "acme", 3 * MIB))


def pod_spec(tmp_path: Path, settings: KubernetesSettings | None = None, **limits: float) -> dict[str, Any]:
    spec: dict[str, Any] = made(tmp_path, settings, **limits)["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("settings", [KubernetesSettings(), FULL], ids=["least", "all"])
def test_the_official_schemas_take_the_job_and_the_secret(
    tmp_path: Path, version: str, settings: KubernetesSettings
) -> None:
    kubernetes_validate.validate(made(tmp_path, settings), version, strict=True)
    inputs = make_inputs(tmp_path, command=("true",))
    kubernetes_validate.validate(secret(inputs, "f" * 64, tenant="acme", job_uid="u-1"), version, strict=True)


def test_the_cluster_begins_no_agent_of_its_own_accord(tmp_path: Path) -> None:
    spec = made(tmp_path)["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["parallelism"] == spec["completions"] == 1
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert {rule["action"] for rule in spec["podFailurePolicy"]["rules"]} == {"FailJob"}
    assert spec["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["type"] == "DisruptionTarget"


def test_the_job_ends_by_itself_when_no_supervisor_does_but_after_each_of_them(tmp_path: Path) -> None:
    spec = made(tmp_path, wall_clock_s=100, grace_s=7)["spec"]
    settings = KubernetesSettings()
    assert spec["activeDeadlineSeconds"] > settings.pending_patience_s + 100 + 7 + 30
    assert spec["activeDeadlineSeconds"] == deadline_s(small_limits(wall_clock_s=100, grace_s=7), settings)
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 37
    assert termination_s(small_limits(grace_s=0.5)) == 31


def test_the_pod_is_as_restricted_as_pod_security_knows(tmp_path: Path) -> None:
    spec = pod_spec(tmp_path)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert "serviceAccountName" not in spec
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        }


def test_a_pod_asks_no_name_server(tmp_path: Path) -> None:
    assert pod_spec(tmp_path)["dnsPolicy"] == "None"


def test_the_inputs_are_read_only_for_the_agent_and_nothing_of_a_node_is_there(tmp_path: Path) -> None:
    spec = pod_spec(tmp_path)
    mounts = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["/in"]["readOnly"] is True
    assert mounts["/run/squire-door"]["readOnly"] is True
    assert set(mounts) == {"/in", "/run/squire-door", "/tmp", "/work", "/home/agent", "/out"}  # noqa: S108 - the container's
    assert {key for volume in spec["volumes"] for key in volume} == {"name", "emptyDir", "secret"}


def test_what_the_agent_writes_is_in_its_memory_and_bounded(tmp_path: Path) -> None:
    volumes = {volume["name"]: volume for volume in pod_spec(tmp_path)["volumes"]}
    for name, size in (("work", 64 * MIB), ("home", 32 * MIB), ("tmp", 32 * MIB), ("out", 18 * MIB)):
        assert volumes[name]["emptyDir"] == {"medium": "Memory", "sizeLimit": str(size)}
    assert volumes["in"]["emptyDir"] == {"sizeLimit": str(19 * MIB)}


def test_what_it_asks_for_is_what_it_may_have(tmp_path: Path) -> None:
    for container in (*pod_spec(tmp_path)["initContainers"], *pod_spec(tmp_path)["containers"]):
        amounts = container["resources"]
        assert amounts["requests"] == amounts["limits"]
        assert amounts["limits"]["memory"] == str(256 * MIB)
        assert amounts["limits"]["cpu"] == "1000m"
        assert int(amounts["limits"]["ephemeral-storage"]) >= 4 * MIB + 3 * MIB


def test_limits_for_which_a_pod_has_no_field_are_set_before_the_entrypoint(tmp_path: Path) -> None:
    fetcher, agent = pod_spec(tmp_path)["initContainers"][0], pod_spec(tmp_path)["containers"][0]
    assert agent["command"][4:6] == ["1024", str(64 * MIB // 512)]
    assert agent["command"][-1].endswith("entrypoint.py")
    assert agent["args"] == []
    assert fetcher["args"] == ["fetch"]


def test_the_token_is_in_no_variable_and_in_no_job(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, command=("true",))
    token = secret(inputs, "f" * 64, tenant="acme", job_uid="u-1")
    assert token["stringData"] == {"token": "f" * 64}
    assert token["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": names.job_name(ATTEMPT_ID), "uid": "u-1"}
    ]
    assert "f" * 64 not in str(made(tmp_path))
    variables = {entry["name"] for entry in pod_spec(tmp_path)["containers"][0]["env"]}
    assert "SQUIRE_DOOR" in variables
    assert "SQUIRE_GATEWAY_SOCKET" not in variables


def test_the_settings_choose_node_runtime_and_priority(tmp_path: Path) -> None:
    spec = pod_spec(tmp_path, FULL)
    assert spec["runtimeClassName"] == "gvisor"
    assert spec["priorityClassName"] == "squire-agent"
    assert spec["nodeSelector"] == {"pool": "agents"}
    assert spec["tolerations"] == [{"key": "agents", "operator": "Exists"}]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert not {"runtimeClassName", "tolerations", "imagePullSecrets"} & set(pod_spec(tmp_path))


def test_labels_say_whose_it_is(tmp_path: Path) -> None:
    document = made(tmp_path)
    assert document["metadata"]["labels"] == document["spec"]["template"]["metadata"]["labels"]
    labels = document["metadata"]["labels"]
    assert (labels["squire/role"], labels["squire/attempt"], labels["squire/tenant"]) == ("agent", ATTEMPT_ID, "acme")
    assert names.attempt_of(document["metadata"]) == ATTEMPT_ID
    assert document["metadata"]["annotations"]["squire/trace"] == "f" * 32


@given(st.text(max_size=300), st.text(max_size=300))
def test_two_units_never_have_one_name_and_each_is_a_dns_label(first: str, second: str) -> None:
    name = names.job_name(first)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,55}[a-z0-9])?", name)
    assert (names.job_name(second) == name) == (first == second)
    assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", names.label_value(first))
