"""What the section about Kubernetes takes, and what it refuses."""

import pytest
from pydantic import ValidationError

from squire_pipelines.sections.kubernetes import KubernetesSettings, TolerationSettings


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
