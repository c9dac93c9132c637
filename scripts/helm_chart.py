"""Writes the Helm chart in deploy/kubernetes/chart from the manifests that kustomize builds; `--check` compares.

The manifests say in comments what the chart makes a value of. So they stay what they are for kustomize, their own
values are the chart's defaults, and an object is described in one place:

    replicas: 2 # chart: .Values.board.replicas     a value, also the list, table or text in the lines below
    name: squire # chart: .Release.Namespace        the namespace that the chart is installed into
    image: name:tag # chart: image                  the two values of the image
    # chart: if .Values.keda.enabled                until `# chart: end`; also `if not`
    # chart+ name: value                            a line that only the chart has
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml  # type: ignore[import-untyped] # no stubs are installed

from squire_pipelines import __version__

ROOT = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes"
CHART = ROOT / "chart"
OLDEST_KUBERNETES = "1.29"
"""The oldest version of Kubernetes that the manifests are made for."""

NAMESPACE = "squire"
"""What the manifests have where the chart has the namespace that it is installed into."""

_MADE = "# Made by scripts/helm_chart.py from the manifests in deploy/kubernetes: change those.\n"
_COMPONENTS = ("ingress", "receiver-autoscaling", "keda", "gvisor", "external-secrets")
_PARTS = ("base", *(f"components/{name}" for name in _COMPONENTS))
_VALUE = re.compile(r"^(?P<start>\s*(?:- )?(?:[\w./-]+: ?)?)(?P<value>.*?) ?# chart: (?P<expression>\S+)$")
_IF = re.compile(r"^(\s*)# chart: if ((?:not )?\.Values(?:\.\w+)+)$")
_END = re.compile(r"^(\s*)# chart: end$")
_EXTRA = re.compile(r"^(\s*)# chart\+ (.+)$")
_COMMENTS = {
    "image": "Squire's own image: `scripts/images.sh --name TAG pipeline` builds it.",
    "imagePullSecrets": "Of the registry, in the namespace of the release: a list of {name: …}.",
    "namespace": "Whether the chart makes the namespace of the release, which Helm needs before.",
    "config": "The settings of all pods, see docs/guide/configuration.md. It names the two namespaces, too.",
    "secrets": "Names of the secrets that the pods mount; docs/guide/kubernetes.md says what is in them.",
    "steward": "Dagster's daemon and UI, and the runs that are the steward's own.",
    "receiver": "Takes deliveries.",
    "board": "Squire's own pages.",
    "workers": "Take runs from the queue.",
    "agents": "Where agents run, and what all of them, and one container, may take there.",
    "network": "Peers of the network policies: the databases, what HTTPS reaches, the API server, who may come in.",
    "ingress": "Off: nothing leads in from outside.",
    "receiverAutoscaling": "Off: the number of receivers stays as it is.",
    "keda": "Off: the numbers of workers stay as they are.",
    "gvisor": "Off: agents run in the nodes' usual runtime.",
    "externalSecrets": "Off: you make the secrets.",
}
"""What is said of the values, in their order."""

_OFF: dict[str, Any] = {
    "imagePullSecrets": [],
    "namespace": {"create": False},
    "ingress": {"enabled": False},
    "keda": {"enabled": False},
    "receiverAutoscaling": {"enabled": False},
    "gvisor": {"enabled": False},
    "externalSecrets": {"enabled": False},
}


class ChartError(Exception):
    """A comment in a manifest cannot be made a template."""


class Values:
    """The chart's values, with the defaults that the manifests have."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        for name, value in _OFF.items():
            self.tree[name] = dict(value) if isinstance(value, dict) else value

    def add(self, expression: str, default: Any) -> None:
        """Add the value that `.Values.NAME…` names. Raises ChartError where another manifest has another default."""
        *path, last = expression.removeprefix(".Values.").split(".")
        table = self.tree
        for name in path:
            table = table.setdefault(name, {})
        if table.setdefault(last, default) != default:
            raise ChartError(f"{expression} is {table[last]!r} in one manifest and {default!r} in another")

    def text(self) -> str:
        """Return `values.yaml`."""
        parts = []
        for name, value in sorted(self.tree.items(), key=lambda item: list(_COMMENTS).index(item[0])):
            text = yaml.dump({name: value}, Dumper=_Dumper, sort_keys=False, width=120)
            parts.append(f"# {_COMMENTS[name]}\n{text}")
        return _MADE + "\n" + "\n".join(parts)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc] # the library has no types
    """Writes texts of several lines as such, and no anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _write_text)


def _column(line: str) -> int:
    """Return where a line's key begins, which in a list's item is after its hyphen."""
    return len(line) - len(line.lstrip(" -"))


def _block_after(lines: list[str], start: int) -> list[str]:
    """Return the lines after `start` that belong to its key."""
    column = _column(lines[start])
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip(" ")) > column):
        end += 1
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    return lines[start + 1 : end]


def template_of(manifest: str, values: Values) -> str:
    """Return a manifest as a template of the chart, and add what it makes values of. Raises ChartError."""
    return _MADE + "\n".join(_template_lines(manifest.splitlines(), values)) + "\n"


def _template_lines(lines: list[str], values: Values) -> Iterator[str]:
    index = 0
    while index < len(lines):
        line = lines[index]
        index += 1
        if match := _IF.match(line):
            yield f"{match[1]}{{{{- if {match[2]} }}}}"
        elif match := _END.match(line):
            yield f"{match[1]}{{{{- end }}}}"
        elif match := _EXTRA.match(line):
            yield match[1] + match[2]
        elif match := _VALUE.match(line):
            start, text, expression = match["start"], match["value"], match["expression"]
            block = _block_after(lines, index - 1) if text in {"", "|"} else []
            index += len(block)
            yield start.rstrip() + " " + _value(text, block, expression, _column(line) + 2, values)
        elif "# chart" in line:
            raise ChartError(f"this line cannot be made a template: {line}")
        else:
            yield line


def _value(text: str, block: list[str], expression: str, depth: int, values: Values) -> str:
    if expression == "image":
        repository, _, tag = text.rpartition(":")
        values.add(".Values.image.repository", repository)
        values.add(".Values.image.tag", tag)
        return '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"'
    if expression == ".Release.Namespace":
        if text != NAMESPACE:
            raise ChartError(f"{text} is not the namespace of the release")
        return "{{ .Release.Namespace }}"
    if not re.fullmatch(r"\.Values(?:\.\w+)+", expression):
        raise ChartError(f"{expression} is no value")
    body = dedent("\n".join(block)) + "\n"
    if text == "|":
        values.add(expression, body)
        return f"|{{{{ {expression} | nindent {depth} }}}}"
    if not text:
        values.add(expression, yaml.safe_load(body))
        return f"{{{{- toYaml {expression} | nindent {depth} }}}}"
    default = yaml.safe_load(text)
    values.add(expression, default)
    return f"{{{{ {expression} | quote }}}}" if isinstance(default, str) else f"{{{{ {expression} }}}}"


def manifests() -> dict[str, Path]:
    """Return the manifests that the chart has, by the names of their templates, in the order of kustomize."""
    paths: dict[str, Path] = {}
    for part in _PARTS:
        kustomization = yaml.safe_load((ROOT / part / "kustomization.yaml").read_text(encoding="utf-8"))
        for name in kustomization["resources"]:
            path = (ROOT / part / name).resolve()
            if paths.setdefault(path.name, path) != path:
                raise ChartError(f"two manifests are called {path.name}")
    return paths


def chart_files() -> dict[str, str]:
    """Return the chart: the text of each file by its path in the chart's folder. Raises ChartError."""
    values = Values()
    files = {
        f"templates/{name}": template_of(path.read_text(encoding="utf-8"), values) for name, path in manifests().items()
    }
    about = {
        "apiVersion": "v2",
        "name": "squire",
        "description": "Keeps GitHub repositories in good order, by coding agents in sandboxes.",
        "type": "application",
        "version": __version__,
        "appVersion": __version__,
        "kubeVersion": f">={OLDEST_KUBERNETES}.0-0",
    }
    files["Chart.yaml"] = _MADE + yaml.dump(about, Dumper=_Dumper, sort_keys=False, width=120)
    files["values.yaml"] = values.text()
    return files


def main() -> int:
    """Write the chart, or compare it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the chart is not up to date")
    is_check = parser.parse_args().check
    files = chart_files()
    present = {path.relative_to(CHART).as_posix(): path for path in CHART.rglob("*") if path.is_file()}
    changed = [name for name, text in files.items() if name not in present or present[name].read_text("utf-8") != text]
    superfluous = sorted(set(present) - set(files))
    if is_check and (changed or superfluous):
        sys.stderr.write(f"{', '.join([*changed, *superfluous])} not up to date: run scripts/helm_chart.py\n")
        return 1
    if not is_check:
        for name in superfluous:
            present[name].unlink()
        for name in changed:
            path = CHART / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
