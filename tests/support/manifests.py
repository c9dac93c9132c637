"""The manifests of deploy/kubernetes as objects: the base, and what kustomize makes of an overlay or a component.

`build` does what kustomize does with the part of its files that ours use, and refuses the rest, so that the manifests
are tested where no kubectl is. A test compares it with `kubectl kustomize` where there is one.
"""

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.support.house import ROOT
from tests.support.yaml_files import load, load_all

FOLDER = ROOT / "deploy" / "kubernetes"
BASE = FOLDER / "base"
CHART = FOLDER / "chart"
COMPONENTS = sorted(path.name for path in (FOLDER / "components").iterdir())
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
CHART_OPTIONS = {
    "ingress": "ingress",
    "receiver-autoscaling": "receiverAutoscaling",
    "keda": "keda",
    "gvisor": "gvisor",
    "external-secrets": "externalSecrets",
}
"""The values of the chart that stand for the components."""

WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicaSet"})

Object = dict[str, Any]
_KNOWN = frozenset({"apiVersion", "kind", "resources", "components", "images", "patches"})


def key_of(item: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what names an object: its kind, namespace and name."""
    metadata = item["metadata"]
    return str(item["kind"]), str(metadata.get("namespace", "")), str(metadata["name"])


def by_key(objects: Iterable[Object]) -> dict[tuple[str, str, str], Object]:
    """Return objects by what names them. Raises ValueError for one that is there twice."""
    table: dict[tuple[str, str, str], Object] = {}
    for item in objects:
        if table.setdefault(key_of(item), item) is not item:
            raise ValueError(f"{key_of(item)} is there twice")
    return table


def read(path: Path) -> list[Object]:
    """Return the objects in a file; what its anchors share is not shared by them."""
    return [unshared(document) for document in load_all(path.read_text(encoding="utf-8"))]


def unshared(value: Any) -> Any:
    """Return a copy in which no two places are one object, as YAML's anchors make them."""
    if isinstance(value, dict):
        return {name: unshared(inner) for name, inner in value.items()}
    return [unshared(inner) for inner in value] if isinstance(value, list) else value


def build(folder: Path, objects: list[Object] | None = None) -> list[Object]:
    """Return the objects of a folder with a kustomization.

    Args:
        folder: With `kustomization.yaml`.
        objects: What a component is added to.

    Raises:
        ValueError: Its kustomization has what ours do not use, or a patch fits nothing.
    """
    file = load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if unknown := set(file) - _KNOWN:
        raise ValueError(f"{folder}: {sorted(unknown)} is not known here")
    result = list(objects or [])
    for name in file.get("resources", ()):
        path = (folder / name).resolve()
        result += build(path) if path.is_dir() else read(path)
    for name in file.get("components", ()):
        result = build((folder / name).resolve(), result)
    for entry in file.get("patches", ()):
        _patch(result, entry, folder)
    for entry in file.get("images", ()):
        _rename_image(result, entry)
    by_key(result)
    return result


def with_components(*names: str) -> list[Object]:
    """Return the base with components."""
    objects = build(BASE)
    for name in names:
        objects = build(FOLDER / "components" / name, objects)
    return objects


def pod_of(workload: Object) -> Object:
    """Return the template of a workload's pods."""
    spec = workload["spec"]
    spec = spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec
    template: Object = workload if workload["kind"] == "Pod" else spec["template"]
    return template


def containers_of(workload: Object) -> list[Object]:
    """Return the containers of a workload's pods, those that run at first among them."""
    spec = pod_of(workload)["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def texts_in(value: Any) -> Iterable[str]:
    """Yield every text in an object, the names of keys too."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield str(name)
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)
    elif isinstance(value, str):
        yield value


def _patch(objects: list[Object], entry: Object, folder: Path) -> None:
    target = entry["target"]
    if set(target) - {"kind", "name"} or set(entry) - {"target", "patch", "path"}:
        raise ValueError(f"{folder}: this patch has what is not known here: {entry}")
    text = entry.get("patch") or (folder / entry["path"]).read_text(encoding="utf-8")
    operations = load(text)
    fitting = [
        item for item in objects if all(re.fullmatch(pattern, value) for pattern, value in _compared(target, item))
    ]
    if not fitting:
        raise ValueError(f"{folder}: a patch of {target} fits nothing")
    for item in fitting:
        for operation in operations:
            _apply(item, operation)


def _compared(target: Object, item: Object) -> list[tuple[str, str]]:
    kind, _, name = key_of(item)
    return [(str(target.get("kind", ".*")), kind), (str(target.get("name", ".*")), name)]


def _apply(item: Any, operation: Object) -> None:
    """Apply one operation of https://www.rfc-editor.org/rfc/rfc6902."""
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    for part in path:
        item = item[int(part)] if isinstance(item, list) else item[part]
    value = copy.deepcopy(operation.get("value"))
    match operation["op"]:
        case "remove":
            del item[int(last) if isinstance(item, list) else last]
        case "add" if isinstance(item, list):
            item.insert(len(item) if last == "-" else int(last), value)
        case "add":
            item[last] = value
        case "replace":
            place = int(last) if isinstance(item, list) else last
            item[place]
            item[place] = value
        case unknown:
            raise ValueError(f"{unknown} is not known here")


def _rename_image(objects: list[Object], entry: Object) -> None:
    for workload in objects:
        for container in containers_of(workload) if workload["kind"] in WORKLOADS else ():
            name, _, tag = container["image"].rpartition(":")
            if name == entry["name"]:
                container["image"] = f"{entry.get('newName', name)}:{entry.get('newTag', tag)}"
