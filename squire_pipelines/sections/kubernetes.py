"""The section of the settings about agents as Jobs of Kubernetes: where these are made, and what their pods get."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from squire_pipelines.sections.types import AbsolutePath, Name, Seconds, SettingsSection, matching

_MAX_PORT = 65535
_DNS_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_SUBDOMAIN = rf"(?=.{{1,253}}\Z){_DNS_LABEL}(\.{_DNS_LABEL})*"
_NAME_PART = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_LABEL_KEY = rf"({_SUBDOMAIN}/)?{_NAME_PART}"
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

Namespace = Annotated[str, matching(_DNS_LABEL, "a namespace has up to 63 small letters, digits and -, like agents")]
ObjectName = Annotated[str, matching(_SUBDOMAIN, "an object's name has small letters, digits, - and ., like gvisor")]
LabelKey = Annotated[str, matching(_LABEL_KEY, "a label's key looks like pool or example.com/pool")]
LabelValue = Annotated[str, matching(rf"({_NAME_PART})?", "a label's value has up to 63 letters, digits, -, _ and .")]


def check_door(text: str) -> str:
    """Return a host with its port as it is. Raises ValueError for one that names none."""
    host, colon, port = text.rpartition(":")
    if not colon or _HOST.fullmatch(host) is None or re.fullmatch(r"[0-9]{1,5}", port) is None:
        raise ValueError("it looks like squire-door.squire.svc:8788")
    if not 0 < int(port) <= _MAX_PORT:
        raise ValueError(f"its port is from 1 to {_MAX_PORT}")
    return text


class TolerationSettings(SettingsSection):
    """A taint of nodes that agents' pods tolerate, in the words of the API."""

    key: LabelKey | None = Field(default=None, description="of the taint; none tolerates all keys, with exists")
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="none tolerates all"
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError('operator = "Exists" has no value')
        if self.key is None and self.operator != "Exists":
            raise ValueError('without a key, operator is "Exists"')
        return self

    def manifest(self) -> dict[str, str]:
        """Return it as the API takes it."""
        fields = {"key": self.key, "operator": self.operator, "value": self.value, "effect": self.effect}
        return {name: value for name, value in fields.items() if value}


class KubernetesSettings(SettingsSection):
    """Agents as Jobs of a Kubernetes cluster, with agent.runner = "kubernetes"; see docs/reference/kubernetes.md."""

    namespace: Namespace = Field(default="squire-agents", description="in which the Jobs are made")
    kubeconfig: AbsolutePath | None = Field(
        default=None, description="else the pod's own service account, KUBECONFIG, or ~/.kube/config"
    )
    context: Name | None = Field(default=None, description="of the kubeconfig; else its current one")
    timeout_s: Seconds = Field(default=15, ge=1, le=120, description="of a request to the API server")
    door: Annotated[str, AfterValidator(check_door)] | None = Field(
        default=None, description="host:port at which pods reach the workers: their Service"
    )
    door_port: int = Field(default=8788, ge=1, le=_MAX_PORT, description="where each worker listens for pods")
    worker_address: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="of this worker for others; else by which it reaches the ledger"
    )
    runtime_class: ObjectName | None = Field(default=None, description="of the pods, like gvisor; else the node's")
    image_pull_secret: ObjectName | None = Field(default=None, description="by which nodes pull the agents' images")
    priority_class: ObjectName | None = Field(default=None, description="of the pods")
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=50, description="labels of the nodes that agents may run on"
    )
    tolerations: tuple[TolerationSettings, ...] = Field(
        default=(), max_length=50, description="tables of taints that the pods tolerate"
    )
    pending_patience_s: Seconds = Field(
        default=600, description="how long a pod may wait for a node, its image or its volumes"
    )
