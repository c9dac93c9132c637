"""What every rendering of the manifests has to keep, as functions that return what is wrong with its objects.

They are functions of objects, so that tests can break the objects and see that the rules notice it. What belongs to
the network and to the links between objects is in `manifest_links`.
"""

import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from tests.support.manifests import WORKLOADS, Object, containers_of, key_of, pod_of, texts_in

Rule = Callable[[list[Object]], Iterator[str]]

OURS = "squire"
AGENTS = "squire-agents"
WITH_TOKEN = "squire-worker-agent"
AGENT_RIGHTS = {
    ("batch", "jobs"): {"create", "get", "list", "delete"},
    ("", "pods"): {"get", "list", "watch", "delete"},
    ("", "pods/log"): {"get"},
    ("", "events"): {"list"},
    ("", "secrets"): {"create", "delete"},
    ("", "namespaces"): {"get"},
}
"""What a worker that runs agents may do in their namespace, and nobody anything else anywhere."""

SECRETS = {"squire", "squire-webhooks", "squire-board", "squire-postgres"}
_VOLUMES = {"configMap", "secret", "projected", "emptyDir"}
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
_KEY = re.compile(r"gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9_-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY")
_SECRET_NAME = re.compile(r"(?i)(password|token|secret|key)$")
_TAG = re.compile(r"[A-Za-z0-9._/:-]+:(?!latest$)[A-Za-z0-9][A-Za-z0-9._-]*(@sha256:[0-9a-f]{64})?")
_SIZES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def workloads(objects: list[Object]) -> list[Object]:
    """Return the objects that make pods."""
    return [item for item in objects if item["kind"] in WORKLOADS]


def size_of(text: str) -> int:
    """Return the bytes of a quantity such as 512Mi."""
    return int(text[:-2]) * _SIZES[text[-2:]]


def restricted_pods(objects: list[Object]) -> Iterator[str]:
    """Each pod is as https://kubernetes.io/docs/concepts/security/pod-security-standards/ restricts it, and more."""
    for item in workloads(objects):
        spec, name = pod_of(item)["spec"], key_of(item)[2]
        context = spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) == 0:
            yield f"{name} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} has no seccomp profile"
        if opened := [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]:
            yield f"{name} shares {opened} with its host"
        for volume in spec.get("volumes", ()):
            if set(volume) - {"name"} - _VOLUMES:
                yield f"{name} has a volume of another kind: {volume}"
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{name} has a volume without a bound: {volume['name']}"
        for container in containers_of(item):
            yield from _confined(container, f"{name}/{container['name']}")


def _confined(container: Object, name: str) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield f"{name} may get more rights"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{name} may write to its image"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{name} has capabilities"
    if set(context) & {"runAsUser", "runAsNonRoot", "seccompProfile", "procMount"}:
        yield f"{name} differs from its pod"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield f"{name} has a port of its host"


def confined_namespaces(objects: list[Object]) -> Iterator[str]:
    """Pod Security is enforced in both namespaces, and nothing is anywhere else."""
    namespaces = {key_of(item)[2]: item for item in objects if item["kind"] == "Namespace"}
    for name in (OURS, AGENTS):
        labels = namespaces.get(name, {}).get("metadata", {}).get("labels", {})
        for mode in ("enforce", "audit", "warn"):
            if labels.get(f"pod-security.kubernetes.io/{mode}") != "restricted":
                yield f"the namespace {name} does not {mode} restricted pods"
    without = {"Namespace", "PriorityClass", "RuntimeClass"}
    for item in objects:
        kind, namespace, name = key_of(item)
        if kind not in without and namespace not in {OURS, AGENTS}:
            yield f"{kind} {name} is in {namespace or 'no namespace'}"
        if namespace == AGENTS and kind in WORKLOADS | {"ConfigMap", "Service"}:
            yield f"{kind} {name} is where agents alone should be"


def secrets_by_reference(objects: list[Object]) -> Iterator[str]:
    """No secret stands in a manifest or in a container's environment: pods mount them from objects made elsewhere."""
    for item in objects:
        kind, _, name = key_of(item)
        if kind == "Secret":
            yield f"the Secret {name} is a manifest"
        for text in texts_in(item):
            if _PASSWORD_IN_URL.search(text) or _KEY.search(text):
                yield f"{kind} {name} has a secret in a text"
    for item in workloads(objects):
        name = key_of(item)[2]
        for container in containers_of(item):
            yield from _secret_variables(container, name)
        for reference in _mounted_secrets(item):
            if reference not in SECRETS:
                yield f"{name} mounts the secret {reference}, which nobody makes"


def _secret_variables(container: Object, name: str) -> Iterator[str]:
    for variable in container.get("env", ()):
        has_value = "value" in variable and _SECRET_NAME.search(variable["name"])
        if has_value or "secretKeyRef" in variable.get("valueFrom", {}):
            yield f"{name} has a secret in the variable {variable['name']}"
    if container.get("envFrom"):
        yield f"{name} takes whole objects into its environment"


def _mounted_secrets(item: Object) -> Iterator[str]:
    for volume in pod_of(item)["spec"].get("volumes", ()):
        if "secret" in volume:
            yield volume["secret"]["secretName"]
        for source in volume.get("projected", {}).get("sources", ()):
            if "secret" in source:
                yield source["secret"]["name"]


def few_secrets(objects: list[Object]) -> Iterator[str]:
    """What is reached from outside has no secret but its own, and no file is readable for others."""
    allowed = {
        "squire-receiver": {"squire", "squire-webhooks"},
        "squire-board": {"squire", "squire-board"},
        "postgres": {"squire-postgres"},
    }
    for item in workloads(objects):
        name = key_of(item)[2]
        if extra := set(_mounted_secrets(item)) - allowed.get(name, {"squire"}):
            yield f"{name} mounts {sorted(extra)}"
        for volume in pod_of(item)["spec"].get("volumes", ()):
            source = volume.get("projected") or volume.get("secret")
            if source and source.get("defaultMode") != 0o440:
                yield f"{name} has secrets that others may read"
            for projected in volume.get("projected", {}).get("sources", ()):
                secret = projected.get("secret", {})
                if name in allowed and secret.get("name") == "squire" and "items" not in secret:
                    yield f"{name} mounts all of the secret squire"


def named_images(objects: list[Object]) -> Iterator[str]:
    """Each image has a tag, which is not latest; all containers of a pod are of one image."""
    for item in workloads(objects):
        images = [container["image"] for container in containers_of(item)]
        for image in images:
            if not _TAG.fullmatch(image):
                yield f"{key_of(item)[2]} runs {image}"
        if len(set(images)) > 1:
            yield f"{key_of(item)[2]} runs several images: {images}"
    for item in objects:
        for image in re.findall(r'^image = "(.*)"$', str(item.get("data", {}).get("config.toml", "")), re.MULTILINE):
            if not _TAG.fullmatch(image):
                yield f"agents run {image}"


def few_tokens(objects: list[Object]) -> Iterator[str]:
    """Only workers that run agents have a token of the API server's, by a volume that says so."""
    for item in objects:
        if item["kind"] == "ServiceAccount" and item.get("automountServiceAccountToken") is not False:
            yield f"the account {key_of(item)[2]} has its token mounted"
    for item in workloads(objects):
        spec, name = pod_of(item)["spec"], key_of(item)[2]
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name} has a token mounted"
        tokens = [
            source["serviceAccountToken"]
            for volume in spec.get("volumes", ())
            for source in volume.get("projected", {}).get("sources", ())
            if "serviceAccountToken" in source
        ]
        if bool(tokens) is not (name == WITH_TOKEN):
            yield f"{name} has {len(tokens)} tokens"
        if any(token.get("expirationSeconds", 10**6) > 3600 for token in tokens):
            yield f"the token of {name} lasts for long"
        mounts = [mount for container in containers_of(item) for mount in container.get("volumeMounts", ())]
        if any(mount["name"] == "secrets" and not mount.get("readOnly") for mount in mounts):
            yield f"{name} may write to its secrets"


def least_rights(objects: list[Object]) -> Iterator[str]:
    """One account has rights, in the agents' namespace, and exactly those that running agents takes."""
    kinds = [item["kind"] for item in objects]
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        if kind in kinds:
            yield f"there is a {kind}"
    roles = [item for item in objects if item["kind"] == "Role"]
    if [key_of(role)[1:] for role in roles] != [(AGENTS, WITH_TOKEN)]:
        yield f"the roles are {[key_of(role)[1:] for role in roles]}"
    for role in roles:
        rights: dict[tuple[str, str], set[str]] = {}
        for rule in role["rules"]:
            for pair in product(rule["apiGroups"], rule["resources"]):
                rights.setdefault(pair, set()).update(rule["verbs"])
            if rule["resources"] == ["namespaces"] and rule.get("resourceNames") != [AGENTS]:
                yield "the role reads other namespaces"
        if rights != AGENT_RIGHTS:
            yield f"the role {key_of(role)[2]} may {rights}"
    subjects = [
        (binding["roleRef"]["name"], subject["kind"], subject.get("namespace"), subject["name"])
        for binding in objects
        if binding["kind"] == "RoleBinding"
        for subject in binding["subjects"]
    ]
    if subjects != [(WITH_TOKEN, "ServiceAccount", OURS, WITH_TOKEN)]:
        yield f"roles are bound to {subjects}"


def bounded_containers(objects: list[Object]) -> Iterator[str]:
    """Each container asks for processor, memory and disk and has limits of them, into which its volumes fit."""
    kinds = {"cpu", "memory", "ephemeral-storage"}
    for item in workloads(objects):
        spec, name = pod_of(item)["spec"], key_of(item)[2]
        for container in containers_of(item):
            resources = container.get("resources", {})
            for part in ("requests", "limits"):
                if set(resources.get(part, {})) != kinds:
                    yield f"{name}/{container['name']} has {part} of {sorted(resources.get(part, {}))}"
        limit = spec["containers"][0].get("resources", {}).get("limits", {}).get("ephemeral-storage")
        volumes = [volume["emptyDir"] for volume in spec.get("volumes", ()) if "emptyDir" in volume]
        on_disk = sum(size_of(volume.get("sizeLimit", "0Mi")) for volume in volumes if "medium" not in volume)
        if limit is not None and size_of(limit) < on_disk:
            yield f"the volumes of {name} are larger than its container's limit"


def probed_containers(objects: list[Object]) -> Iterator[str]:
    """Each container that stays is asked whether it lives and is ready, within a time, and a start may take minutes."""
    for item in workloads(objects):
        name = key_of(item)[2]
        for container in pod_of(item)["spec"]["containers"]:
            for probe in ("livenessProbe", "readinessProbe"):
                if "timeoutSeconds" not in container.get(probe, {}):
                    yield f"{name} has no {probe}, or one without a time limit"
            if key_of(item)[2].startswith("squire-"):
                start = container.get("startupProbe", {})
                if start.get("periodSeconds", 0) * start.get("failureThreshold", 0) < 120:
                    yield f"{name} has less than two minutes to start"


def kept_serving(objects: list[Object]) -> Iterator[str]:
    """Each workload has a priority, a budget of disruptions, and a rollout that takes nothing away before its time."""
    classes = {key_of(item)[2] for item in objects if item["kind"] == "PriorityClass"}
    budgets = [item for item in objects if item["kind"] == "PodDisruptionBudget"]
    for item in workloads(objects):
        template, name = pod_of(item), key_of(item)[2]
        spec, labels = template["spec"], template["metadata"]["labels"]
        if spec.get("priorityClassName") not in classes:
            yield f"{name} has no priority that exists"
        fitting = [one for one in budgets if one["spec"]["selector"]["matchLabels"].items() <= labels.items()]
        if len(fitting) != 1:
            yield f"{name} has {len(fitting)} budgets of disruptions"
        if any(one["spec"].get("maxUnavailable") != 1 or "minAvailable" in one["spec"] for one in fitting):
            yield f"the budget of {name} keeps nodes from being emptied, or lets more than one pod go"
        if item["kind"] == "Deployment":
            rolling = item["spec"].get("strategy", {}).get("rollingUpdate", {})
            if rolling.get("maxUnavailable") != 0:
                yield f"a rollout of {name} takes pods away before others are there"
        if item["kind"] == "Deployment" and not spec.get("topologySpreadConstraints"):
            yield f"the pods of {name} may all be on one node"


def drained_workers(drain_s: float, stop_grace_s: float) -> Rule:
    """Return the rule that workers have the time to drain, and agents' workers keep their node meanwhile.

    Args:
        drain_s: How long a worker lets its runs go on.
        stop_grace_s: How long those that it has interrupted take to end.
    """

    def rule(objects: list[Object]) -> Iterator[str]:
        for item in workloads(objects):
            template = pod_of(item)
            labels: dict[str, Any] = template["metadata"]["labels"]
            if labels.get("app.kubernetes.io/component") != "worker":
                continue
            if template["spec"].get("terminationGracePeriodSeconds", 30) <= drain_s + stop_grace_s:
                yield f"{key_of(item)[2]} is killed before it has drained"
            annotations = template["metadata"].get("annotations", {})
            evicted = annotations.get("cluster-autoscaler.kubernetes.io/safe-to-evict")
            if labels.get("squire/queue") == "agent" and evicted != "false":
                yield f"{key_of(item)[2]} may lose its node while agents work"

    return rule
