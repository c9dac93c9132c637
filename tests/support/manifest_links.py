"""Rules on what the manifests say of each other: networks, ports, selectors and names. See `manifest_rules`."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tests.support.manifest_rules import AGENTS, OURS, workloads
from tests.support.manifests import Object, containers_of, key_of, pod_of

DOOR_PORT = 8788
_AGENT_WORKERS = {
    "app.kubernetes.io/name": "squire",
    "app.kubernetes.io/component": "worker",
    "squire/queue": "agent",
}
_DENIED = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector selects what has these labels."""
    for name, value in selector.get("matchLabels", {}).items():
        if labels.get(name) != value:
            return False
    for expression in selector.get("matchExpressions", ()):
        if expression["operator"] != "In" or labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def policies(objects: list[Object], namespace: str) -> dict[str, Object]:
    """Return the specs of a namespace's network policies by name."""
    return {
        key_of(item)[2]: item["spec"]
        for item in objects
        if item["kind"] == "NetworkPolicy" and key_of(item)[1] == namespace
    }


def lonely_agents(objects: list[Object]) -> Iterator[str]:
    """An agent's pod reaches the door of the workers and nothing else, not even names; nobody reaches it."""
    own = policies(objects, AGENTS)
    door: dict[str, Any] = {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [
                    {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": OURS}},
                        "podSelector": {"matchLabels": _AGENT_WORKERS},
                    }
                ],
                "ports": [{"protocol": "TCP", "port": DOOR_PORT}],
            }
        ],
    }
    if own != {"deny-all": _DENIED, "to-the-door": door}:
        yield f"agents' pods have the policies {own}"
    for name, spec in policies(objects, OURS).items():
        for rule in spec.get("ingress", ()):
            for peer in rule.get("from", ()):
                labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
                if (
                    labels.get("kubernetes.io/metadata.name") == AGENTS
                    and rule.get("ports") != door["egress"][0]["ports"]
                ):
                    yield f"the policy {name} lets agents in at {rule.get('ports')}"
    if sum(item["kind"] in {"ResourceQuota", "LimitRange"} and key_of(item)[1] == AGENTS for item in objects) != 2:
        yield "agents have no bounds"


def closed_network(objects: list[Object]) -> Iterator[str]:
    """Everything is denied at first; what is let through has peers and ports, and is for pods that exist."""
    own = policies(objects, OURS)
    if own.get("deny-all") != _DENIED:
        yield "not everything is denied at first"
    pods = [pod_of(item) for item in workloads(objects)]
    for name, spec in own.items():
        selected = [pod for pod in pods if selects(spec["podSelector"], pod["metadata"]["labels"])]
        if name != "deny-all" and not spec["podSelector"]:
            yield f"the policy {name} is for every pod"
        if not selected:
            yield f"the policy {name} is for no pod"
        yield from _let_through(name, spec, selected)


def _let_through(name: str, spec: Object, selected: list[Object]) -> Iterator[str]:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        if direction in spec and direction.capitalize() not in spec["policyTypes"]:
            yield f"the policy {name} has a direction that it does not name"
        for rule in spec.get(direction, ()):
            if not rule.get(peers) or not rule.get("ports"):
                yield f"the policy {name} lets everybody or everything through"
            elif direction == "ingress":
                yield from _ingress(name, rule, selected)
            elif any(_is_everywhere(peer) for peer in rule["to"]):
                yield f"the policy {name} leads to the machine's own services"


def _ingress(name: str, rule: Object, selected: list[Object]) -> Iterator[str]:
    for peer in rule.get("from", ()):
        if "ipBlock" in peer or not any(peer.get(part) for part in ("namespaceSelector", "podSelector")):
            yield f"the policy {name} lets in whoever there is"
    served = {
        port["containerPort"] for pod in selected for one in pod["spec"]["containers"] for port in one.get("ports", ())
    }
    for port in rule.get("ports", ()):
        if "endPort" not in port and port["port"] not in served:
            yield f"the policy {name} is about the port {port['port']}, where nobody listens"


def _is_everywhere(peer: Object) -> bool:
    block = peer.get("ipBlock", {})
    return block.get("cidr") == "0.0.0.0/0" and "169.254.0.0/16" not in block.get("except", ())


def reached_pods(objects: list[Object]) -> Iterator[str]:
    """Somebody may reach each port of a container but Dagster's UI; a receiver goes nowhere but to the ledger."""
    own = policies(objects, OURS)
    for item in workloads(objects):
        labels, name = pod_of(item)["metadata"]["labels"], key_of(item)[2]
        applicable = [spec for spec in own.values() if selects(spec["podSelector"], labels)]
        entries = {
            port["port"]
            for spec in applicable
            for rule in spec.get("ingress", ())
            for port in rule["ports"]
            if "endPort" not in port
        }
        ports = {port["name"]: port["containerPort"] for one in containers_of(item) for port in one.get("ports", ())}
        if "ui" in ports and ports.pop("ui") in entries:
            yield "somebody reaches Dagster's UI, which asks for no password"
        if entries != set(ports.values()):
            yield f"{name} listens at {sorted(ports.values())}, and policies let others reach {sorted(entries)}"
        exits = {port["port"] for spec in applicable for rule in spec.get("egress", ()) for port in rule["ports"]}
        if name == "squire-receiver" and exits != {53, 5432}:
            yield f"a receiver reaches the ports {sorted(exits)}"
        if 6443 in exits and labels.get("squire/queue") != "agent":
            yield f"{name} reaches the API server"


def joined_selectors(objects: list[Object]) -> Iterator[str]:
    """What selects pods selects exactly the pods of one workload; no two workloads have the same labels."""
    items = workloads(objects)
    for item in items:
        selector = item["spec"]["selector"]
        fitting = [key_of(one)[2] for one in items if selects(selector, pod_of(one)["metadata"]["labels"])]
        if fitting != [key_of(item)[2]]:
            yield f"the selector of {key_of(item)[2]} fits the pods of {fitting}"
        for spread in pod_of(item)["spec"].get("topologySpreadConstraints", ()):
            if spread["labelSelector"] != selector:
                yield f"{key_of(item)[2]} spreads other pods than its own"
    for item in objects:
        if item["kind"] not in {"Service", "PodDisruptionBudget"}:
            continue
        kind, _, name = key_of(item)
        selector = item["spec"]["selector"]
        selector = {"matchLabels": selector} if kind == "Service" else selector
        fitting = [key_of(one)[2] for one in items if selects(selector, pod_of(one)["metadata"]["labels"])]
        if len(fitting) != 1:
            yield f"{kind} {name} selects the pods of {fitting}"


def joined_ports(objects: list[Object]) -> Iterator[str]:
    """Services lead to ports of containers, probes ask at them, and an ingress leads to services that there are."""
    services: dict[str, set[str]] = {}
    for item in objects:
        if item["kind"] == "Service":
            services[key_of(item)[2]] = {port["name"] for port in item["spec"]["ports"]}
            yield from _served(item, objects)
            if item["spec"].get("type", "ClusterIP") != "ClusterIP":
                yield f"the service {key_of(item)[2]} is open to the outside"
    for item in workloads(objects):
        yield from _asked(item)
        if item["kind"] == "StatefulSet" and item["spec"]["serviceName"] not in services:
            yield f"{key_of(item)[2]} has no service that gives its pods their names"
    for item in objects:
        if item["kind"] == "Ingress":
            yield from _led(item, services)


def _asked(item: Object) -> Iterator[str]:
    for container in pod_of(item)["spec"]["containers"]:
        names = {port["name"] for port in container.get("ports", ())}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container.get(probe, {})
            place = asked.get("httpGet") or asked.get("tcpSocket")
            if place and place["port"] not in names:
                yield f"{key_of(item)[2]} is asked at {place['port']}, which is no port of it"


def _served(service: Object, objects: list[Object]) -> Iterator[str]:
    selector = {"matchLabels": service["spec"]["selector"]}
    for item in workloads(objects):
        if not selects(selector, pod_of(item)["metadata"]["labels"]):
            continue
        ports = {port["name"]: port["containerPort"] for one in containers_of(item) for port in one.get("ports", ())}
        for port in service["spec"]["ports"]:
            if ports.get(port["targetPort"]) != port["port"]:
                yield f"the service {key_of(service)[2]} leads to {port['targetPort']}, which is no such port"


def _led(ingress: Object, services: Mapping[str, set[str]]) -> Iterator[str]:
    name = key_of(ingress)[2]
    hosts = {host for tls in ingress["spec"].get("tls", ()) for host in tls["hosts"]}
    for rule in ingress["spec"]["rules"]:
        if rule["host"] not in hosts:
            yield f"the ingress {name} serves {rule['host']} without TLS"
        for path in rule["http"]["paths"]:
            service = path["backend"]["service"]
            if service["port"]["name"] not in services.get(service["name"], ()):
                yield f"the ingress {name} leads to {service['name']}, which is no such service"
            if service["name"] not in {"squire-receiver", "squire-board"}:
                yield f"the ingress {name} opens {service['name']}"


def known_names(objects: list[Object]) -> Iterator[str]:
    """What an object names is there, and of each workload one place says how many pods it has."""
    keys = {key_of(item) for item in objects}
    scaled = set()
    for item in objects:
        if item["kind"] in {"ScaledObject", "HorizontalPodAutoscaler"}:
            target = ("Deployment", OURS, item["spec"]["scaleTargetRef"]["name"])
            scaled.add(target)
            if target not in keys:
                yield f"{key_of(item)[2]} scales what is not there"
        for trigger in item["spec"].get("triggers", ()) if item["kind"] == "ScaledObject" else ():
            if ("TriggerAuthentication", OURS, trigger["authenticationRef"]["name"]) not in keys:
                yield f"{key_of(item)[2]} asks with a password that is not there"
    for item in workloads(objects):
        if ("replicas" in item["spec"]) is (key_of(item) in scaled):
            yield f"the number of pods of {key_of(item)[2]} is said twice, or not at all"
        yield from _unknown_in_pod(item, keys)


def _unknown_in_pod(item: Object, keys: Collection[tuple[str, str, str]]) -> Iterator[str]:
    spec, name = pod_of(item)["spec"], key_of(item)[2]
    account = spec.get("serviceAccountName")
    if account is not None and ("ServiceAccount", OURS, account) not in keys:
        yield f"{name} has the account {account}, which is not there"
    for volume in spec.get("volumes", ()):
        config = volume.get("configMap", {}).get("name")
        if config is not None and ("ConfigMap", OURS, config) not in keys:
            yield f"{name} mounts {config}, which is not there"
    volumes = {volume["name"] for volume in spec.get("volumes", ())}
    volumes |= {claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", ())}
    mounted = {mount["name"] for container in containers_of(item) for mount in container.get("volumeMounts", ())}
    if mounted != volumes:
        yield f"{name} has the volumes {sorted(volumes)} and mounts {sorted(mounted)}"
