"""The manifests of deploy/kubernetes: what each rendering of them keeps, and that a broken one is noticed.

Rendered are the base, each overlay, the base with each component, and the chart with and without its options.
"""

from collections.abc import Callable
from functools import cache, partial

import pytest

from squire_pipelines.work_queue.worker import STOP_GRACE_S
from tests.support import manifest_links as links
from tests.support import manifest_rules as rules
from tests.support.helm_templates import render_chart
from tests.support.manifest_settings import settings_of, unknown_variables, wrong_commands
from tests.support.manifests import (
    BASE,
    CHART,
    CHART_OPTIONS,
    COMPONENTS,
    FOLDER,
    OVERLAYS,
    Object,
    build,
    key_of,
    pod_of,
    unshared,
    with_components,
)

ALL_OPTIONS = {name: {"enabled": True} for name in CHART_OPTIONS.values()}
RENDERED: dict[str, Callable[[], list[Object]]] = {
    "base": partial(build, BASE),
    **{f"overlay {name}": partial(build, FOLDER / "overlays" / name) for name in OVERLAYS},
    **{f"base with {name}": partial(with_components, name) for name in COMPONENTS},
    "base with all": partial(with_components, *COMPONENTS),
    "chart": partial(render_chart, CHART, {"namespace": {"create": True}}),
    "chart with all": partial(render_chart, CHART, {"namespace": {"create": True}, **ALL_OPTIONS}),
}
DRAIN = rules.drained_workers(settings_of(build(BASE)).workers.drain_s, STOP_GRACE_S)
RULES: tuple[rules.Rule, ...] = (
    rules.restricted_pods,
    rules.confined_namespaces,
    rules.secrets_by_reference,
    rules.few_secrets,
    rules.named_images,
    rules.few_tokens,
    rules.least_rights,
    rules.bounded_containers,
    rules.probed_containers,
    rules.kept_serving,
    DRAIN,
    links.lonely_agents,
    links.closed_network,
    links.reached_pods,
    links.joined_selectors,
    links.joined_ports,
    links.known_names,
    unknown_variables,
    wrong_commands,
)


@cache
def rendered(name: str) -> list[Object]:
    return RENDERED[name]()


@pytest.mark.parametrize("name", RENDERED)
def test_each_rendering_keeps_the_rules(name: str) -> None:
    objects = RENDERED[name]()
    assert [problem for rule in RULES for problem in rule(objects)] == []


def one(objects: list[Object], kind: str, name: str) -> Object:
    (item,) = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    return item


def spec(objects: list[Object], name: str) -> Object:
    """Return the spec of a workload's pods."""
    (item,) = [item for item in rules.workloads(objects) if item["metadata"]["name"] == name]
    inner: Object = pod_of(item)["spec"]
    return inner


def main(objects: list[Object], name: str) -> Object:
    """Return the container of a workload that stays."""
    container: Object = spec(objects, name)["containers"][0]
    return container


def without(objects: list[Object], kind: str, name: str) -> None:
    objects.remove(one(objects, kind, name))


def policy(objects: list[Object], name: str) -> Object:
    inner: Object = one(objects, "NetworkPolicy", name)["spec"]
    return inner


Breakage = Callable[[list[Object]], object]
BROKEN: dict[str, tuple[rules.Rule, Breakage]] = {
    "a pod runs as root": (
        rules.restricted_pods,
        lambda o: spec(o, "squire-board")["securityContext"].update(runAsUser=0),
    ),
    "a pod has no seccomp profile": (
        rules.restricted_pods,
        lambda o: spec(o, "squire-board")["securityContext"].pop("seccompProfile"),
    ),
    "a pod is in its host's network": (
        rules.restricted_pods,
        lambda o: spec(o, "squire-receiver").update(hostNetwork=True),
    ),
    "a pod mounts its host": (
        rules.restricted_pods,
        lambda o: spec(o, "squire-steward")["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    ),
    "a volume has no bound": (
        rules.restricted_pods,
        lambda o: spec(o, "squire-steward")["volumes"].append({"name": "more", "emptyDir": {}}),
    ),
    "a container gets a capability": (
        rules.restricted_pods,
        lambda o: main(o, "squire-board")["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    ),
    "an initial container may write to its image": (
        rules.restricted_pods,
        lambda o: spec(o, "squire-worker-agent")["initContainers"][1]["securityContext"].pop("readOnlyRootFilesystem"),
    ),
    "agents may be privileged": (
        rules.confined_namespaces,
        lambda o: one(o, "Namespace", "squire-agents")["metadata"]["labels"].update(
            {"pod-security.kubernetes.io/enforce": "baseline"}
        ),
    ),
    "a pod of ours is among the agents": (
        rules.confined_namespaces,
        lambda o: one(o, "Deployment", "squire-board")["metadata"].update(namespace="squire-agents"),
    ),
    "a secret is a manifest": (
        rules.secrets_by_reference,
        lambda o: o.append(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "squire", "namespace": "squire"}, "data": {}}
        ),
    ),
    "a URL has a password": (
        rules.secrets_by_reference,
        lambda o: one(o, "ConfigMap", "squire-config").update(
            data={"config.toml": "postgresql://squire:pw@postgres/squire"}
        ),
    ),
    "a variable has a secret": (
        rules.secrets_by_reference,
        lambda o: main(o, "squire-board")["env"].append({"name": "SQUIRE_GITHUB_TOKEN", "value": "x"}),
    ),
    "a variable has a secret by reference": (
        rules.secrets_by_reference,
        lambda o: main(o, "squire-board")["env"].append(
            {"name": "PGPASS", "valueFrom": {"secretKeyRef": {"name": "squire", "key": "pgpass"}}}
        ),
    ),
    "a receiver has all secrets": (
        rules.few_secrets,
        lambda o: spec(o, "squire-receiver")["volumes"][1]["projected"]["sources"][0]["secret"].pop("items"),
    ),
    "a receiver has the board's secret": (
        rules.few_secrets,
        lambda o: spec(o, "squire-receiver")["volumes"][1]["projected"]["sources"][1]["secret"].update(
            name="squire-board"
        ),
    ),
    "secrets are readable for all": (
        rules.few_secrets,
        lambda o: spec(o, "squire-worker-follow")["volumes"][1]["projected"].update(defaultMode=0o444),
    ),
    "an image is the latest": (
        rules.named_images,
        lambda o: main(o, "squire-board").update(image="squire-pipeline:latest"),
    ),
    "an image has no tag": (
        rules.named_images,
        lambda o: main(o, "squire-board").update(image="host:5000/squire-pipeline"),
    ),
    "a token is mounted by itself": (
        rules.few_tokens,
        lambda o: spec(o, "squire-worker-collect").update(automountServiceAccountToken=True),
    ),
    "a collecting worker asks for a token": (
        rules.few_tokens,
        lambda o: spec(o, "squire-worker-collect")["volumes"][1]["projected"]["sources"].append(
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
        ),
    ),
    "a worker may run things in agents' pods": (
        rules.least_rights,
        lambda o: one(o, "Role", "squire-worker-agent")["rules"].append(
            {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}
        ),
    ),
    "a worker may read secrets": (
        rules.least_rights,
        lambda o: one(o, "Role", "squire-worker-agent")["rules"][4]["verbs"].append("get"),
    ),
    "a worker may do anything": (
        rules.least_rights,
        lambda o: one(o, "Role", "squire-worker-agent")["rules"].append(
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
        ),
    ),
    "a worker may read all namespaces": (
        rules.least_rights,
        lambda o: one(o, "Role", "squire-worker-agent")["rules"][5].pop("resourceNames"),
    ),
    "everybody has the workers' rights": (
        rules.least_rights,
        lambda o: one(o, "RoleBinding", "squire-worker-agent")["subjects"].append(
            {"kind": "Group", "name": "system:authenticated"}
        ),
    ),
    "a container has no limits": (
        rules.bounded_containers,
        lambda o: main(o, "squire-board")["resources"].pop("limits"),
    ),
    "a volume is larger than its container may write": (
        rules.bounded_containers,
        lambda o: main(o, "squire-board")["resources"]["limits"].update({"ephemeral-storage": "1Gi"}),
    ),
    "nobody asks whether a worker lives": (
        rules.probed_containers,
        lambda o: main(o, "squire-worker-follow").pop("livenessProbe"),
    ),
    "a start may take a few seconds": (
        rules.probed_containers,
        lambda o: main(o, "squire-steward")["startupProbe"].update(failureThreshold=2),
    ),
    "a receiver has no budget of disruptions": (
        rules.kept_serving,
        lambda o: without(o, "PodDisruptionBudget", "squire-receiver"),
    ),
    "a budget lets nobody empty a node": (
        rules.kept_serving,
        lambda o: one(o, "PodDisruptionBudget", "squire-board").update(
            spec={"minAvailable": 1, "selector": one(o, "PodDisruptionBudget", "squire-board")["spec"]["selector"]}
        ),
    ),
    "a rollout takes a receiver away first": (
        rules.kept_serving,
        lambda o: one(o, "Deployment", "squire-receiver")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
    ),
    "a priority does not exist": (
        rules.kept_serving,
        lambda o: spec(o, "squire-board").update(priorityClassName="system-cluster-critical"),
    ),
    "a worker is killed while it drains": (
        DRAIN,
        lambda o: spec(o, "squire-worker-agent").update(terminationGracePeriodSeconds=2100),
    ),
    "agents may ask for names": (
        links.lonely_agents,
        lambda o: policy(o, "to-the-door")["egress"].append({"ports": [{"protocol": "UDP", "port": 53}]}),
    ),
    "agents reach every pod of ours": (
        links.lonely_agents,
        lambda o: policy(o, "to-the-door")["egress"][0]["to"][0].pop("podSelector"),
    ),
    "agents reach the workers at any port": (
        links.lonely_agents,
        lambda o: policy(o, "door")["ingress"][0]["ports"].append({"protocol": "TCP", "port": 22}),
    ),
    "agents have no bounds": (links.lonely_agents, lambda o: without(o, "ResourceQuota", "squire-agents")),
    "what comes in is not denied": (
        links.closed_network,
        lambda o: [
            item["spec"].update(policyTypes=["Egress"])
            for item in o
            if key_of(item) == ("NetworkPolicy", "squire", "deny-all")
        ],
    ),
    "everybody reaches the receiver": (
        links.closed_network,
        lambda o: policy(o, "deliveries")["ingress"][0].pop("from"),
    ),
    "all namespaces reach the board": (
        links.closed_network,
        lambda o: policy(o, "board")["ingress"][0].update({"from": [{"namespaceSelector": {}}]}),
    ),
    "a policy is for no pod": (
        links.closed_network,
        lambda o: policy(o, "metrics")["podSelector"]["matchLabels"].update({"app.kubernetes.io/component": "stewart"}),
    ),
    "a machine's credentials are reached": (
        links.closed_network,
        lambda o: policy(o, "to-https")["egress"][0]["to"][0]["ipBlock"].pop("except"),
    ),
    "a policy is about another port": (
        links.closed_network,
        lambda o: policy(o, "board")["ingress"][0]["ports"][0].update(port=8474),
    ),
    "others reach Dagster's UI": (
        links.reached_pods,
        lambda o: policy(o, "metrics")["ingress"][0]["ports"].append({"protocol": "TCP", "port": 3000}),
    ),
    "a receiver reaches the internet": (
        links.reached_pods,
        lambda o: policy(o, "to-https")["podSelector"]["matchExpressions"][0]["values"].append("receiver"),
    ),
    "a steward reaches the API server": (
        links.reached_pods,
        lambda o: policy(o, "to-the-api")["podSelector"]["matchLabels"].pop("squire/queue"),
    ),
    "a budget fits no pod": (
        links.joined_selectors,
        lambda o: one(o, "PodDisruptionBudget", "squire-board")["spec"]["selector"]["matchLabels"].update(more="yes"),
    ),
    "a service leads to all workers": (
        links.joined_selectors,
        lambda o: one(o, "Service", "squire-door")["spec"]["selector"].pop("squire/queue"),
    ),
    "a service leads to another port": (
        links.joined_ports,
        lambda o: one(o, "Service", "squire-door")["spec"]["ports"][0].update(port=8787),
    ),
    "a service is open to the outside": (
        links.joined_ports,
        lambda o: one(o, "Service", "squire-ui")["spec"].update(type="LoadBalancer"),
    ),
    "a probe asks at another port": (
        links.joined_ports,
        lambda o: main(o, "squire-worker-agent")["readinessProbe"]["tcpSocket"].update(port="gate"),
    ),
    "an account does not exist": (
        links.known_names,
        lambda o: spec(o, "squire-board").update(serviceAccountName="default"),
    ),
    "a volume does not exist": (
        links.known_names,
        lambda o: main(o, "squire-board")["volumeMounts"].append({"name": "more", "mountPath": "/more"}),
    ),
    "the settings do not exist": (links.known_names, lambda o: without(o, "ConfigMap", "squire-config")),
    "nobody says how many pods there are": (
        links.known_names,
        lambda o: one(o, "Deployment", "squire-board")["spec"].pop("replicas"),
    ),
    "a variable is spelt wrongly": (
        unknown_variables,
        lambda o: main(o, "squire-steward")["env"].append({"name": "SQUIRE_BOARD__ENABLE", "value": "false"}),
    ),
    "a command does not exist": (
        wrong_commands,
        lambda o: main(o, "squire-board").update(args=["squire", "boards"]),
    ),
    "an option does not exist": (
        wrong_commands,
        lambda o: main(o, "squire-worker-collect")["args"].append("--fast"),
    ),
}


@pytest.mark.parametrize("change", BROKEN)
def test_a_broken_manifest_is_noticed_by_its_rule(change: str) -> None:
    rule, breakage = BROKEN[change]
    objects = unshared(rendered("base"))
    breakage(objects)
    assert list(rule(objects)) != []


BROKEN_OPTIONS: dict[str, tuple[rules.Rule, Breakage]] = {
    "an ingress opens Dagster's UI": (
        links.joined_ports,
        lambda o: one(o, "Ingress", "squire-board")["spec"]["rules"][0]["http"]["paths"][0]["backend"].update(
            service={"name": "squire-ui", "port": {"name": "ui"}}
        ),
    ),
    "an ingress serves without TLS": (
        links.joined_ports,
        lambda o: one(o, "Ingress", "squire-board")["spec"].pop("tls"),
    ),
    "two say how many workers there are": (
        links.known_names,
        lambda o: one(o, "Deployment", "squire-worker-agent")["spec"].update(replicas=3),
    ),
    "what is scaled does not exist": (
        links.known_names,
        lambda o: one(o, "ScaledObject", "squire-worker-agent")["spec"]["scaleTargetRef"].update(name="squire-worker"),
    ),
    "the scaler's password does not exist": (
        links.known_names,
        lambda o: without(o, "TriggerAuthentication", "squire-scaler"),
    ),
}


@pytest.mark.parametrize("change", BROKEN_OPTIONS)
def test_a_broken_option_is_noticed_by_its_rule(change: str) -> None:
    rule, breakage = BROKEN_OPTIONS[change]
    objects = unshared(rendered("base with all"))
    breakage(objects)
    assert list(rule(objects)) != []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_has_a_manifest_that_breaks_it(rule: rules.Rule) -> None:
    assert rule in [broken for broken, _ in (*BROKEN.values(), *BROKEN_OPTIONS.values())]
