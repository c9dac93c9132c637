"""What the section about Kubernetes takes, and what it refuses."""

from typing import Any

import pytest
from pydantic import ValidationError

from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.sections.files import FileSettings
from squire_pipelines.sections.kubernetes import KubernetesSettings, TolerationSettings
from squire_pipelines.sections.workers import WorkerSettings
from squire_pipelines.settings.model import Settings


@pytest.mark.parametrize("door", ["squire-door.squire.svc:8788", "10.96.0.12:1", "[fd00::1]:65535", "door:8788"])
def test_a_door_is_a_host_with_a_port(door: str) -> None:
    assert KubernetesSettings(door=door).door == door


@pytest.mark.parametrize(
    "door", ["door", "door:", "door:0", "door:65536", "http://door:8788", "a b:1", ":8788", "d:-1"]
)
def test_what_names_no_host_and_port_is_refused(door: str) -> None:
    with pytest.raises(ValidationError):
        KubernetesSettings(door=door)


@pytest.mark.parametrize("name", ["", "Agents", "a_b", "a" * 64, "-a", "a.b", "a\n"])
def test_a_namespace_is_a_dns_label(name: str) -> None:
    with pytest.raises(ValidationError):
        KubernetesSettings(namespace=name)


def test_a_node_selector_has_labels() -> None:
    selector = {"example.com/pool": "agents", "kubernetes.io/os": "linux", "spot": ""}
    assert KubernetesSettings(node_selector=selector).node_selector == selector
    for wrong in ({"a b": "c"}, {"a": "c/d"}, {"/a": "b"}):
        with pytest.raises(ValidationError):
            KubernetesSettings(node_selector=wrong)


def test_a_toleration_is_given_to_the_api_without_what_is_not_set() -> None:
    toleration = TolerationSettings(key="agents", value="only", effect="NoSchedule")
    assert toleration.manifest() == {"key": "agents", "operator": "Equal", "value": "only", "effect": "NoSchedule"}
    assert TolerationSettings(operator="Exists").manifest() == {"operator": "Exists"}


@pytest.mark.parametrize("values", [{"operator": "Exists", "key": "a", "value": "b"}, {"value": "b"}])
def test_a_toleration_that_contradicts_itself_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TolerationSettings.model_validate(values)


@pytest.mark.parametrize(
    "values",
    [
        {"runtime": "runsc"},
        {"seccomp": "/etc/profile.json"},
        {"caches": {"pip": "/srv/pip"}},
        {"warm_pool": {"size": 1}},
        {"keep_failed_containers": True},
    ],
)
def test_what_no_pod_has_is_refused_with_this_runner(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        AgentSettings.model_validate({"runner": "kubernetes", **values})


def test_agents_as_jobs_need_workers_and_a_door() -> None:
    agent = AgentSettings(runner="kubernetes")
    alone = Settings(agent=agent)
    assert alone.uses_cluster
    assert not Settings().uses_cluster
    with pytest.raises(ConfigError, match="needs workers"):
        alone.check_shared()
    shared = Settings(
        agent=agent,
        ledger_url="postgresql://squire@localhost/squire",
        workers=WorkerSettings(broker_url="redis://localhost:6379/0"),
        files=FileSettings(url="file:///srv/squire"),
    )
    with pytest.raises(ConfigError, match=r"needs kubernetes\.door"):
        shared.check_shared()
    shared.model_copy(update={"kubernetes": KubernetesSettings(door="door:8788")}).check_shared()
