"""The Helm chart: it is what the script makes of the manifests, and by its default values it is kustomize's base."""

from pathlib import Path

import pytest

from scripts.helm_chart import ChartError, Values, chart_files, template_of
from squire_pipelines import __version__
from tests.support.helm_templates import TemplateError, render, render_chart
from tests.support.manifests import BASE, CHART, CHART_OPTIONS, build, by_key, key_of, read, with_components
from tests.support.yaml_files import load

NAMESPACE = ("Namespace", "", "squire")


def test_the_chart_is_what_the_script_makes() -> None:
    present = {path.relative_to(CHART).as_posix(): path for path in CHART.rglob("*") if path.is_file()}
    assert {name: path.read_text(encoding="utf-8") for name, path in present.items()} == chart_files()


def test_the_chart_is_of_this_version() -> None:
    about = load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (about["version"], about["appVersion"]) == (__version__, __version__)
    assert load((CHART / "values.yaml").read_text(encoding="utf-8"))["image"]["tag"] == __version__


def test_by_default_the_chart_is_the_base_without_the_namespace_that_helm_needs_before() -> None:
    base = by_key(build(BASE))
    del base[NAMESPACE]
    assert by_key(render_chart(CHART)) == base


def test_with_its_namespace_the_chart_is_the_base() -> None:
    assert by_key(render_chart(CHART, {"namespace": {"create": True}})) == by_key(build(BASE))


@pytest.mark.parametrize("component", CHART_OPTIONS)
def test_an_option_of_the_chart_is_the_component(component: str) -> None:
    values = {"namespace": {"create": True}, CHART_OPTIONS[component]: {"enabled": True}}
    assert by_key(render_chart(CHART, values)) == by_key(with_components(component))


def test_all_names_of_namespaces_follow_the_release_and_its_values() -> None:
    objects = render_chart(
        CHART,
        {"agents": {"namespace": "robots"}, "namespace": {"create": True}}
        | {name: {"enabled": True} for name in CHART_OPTIONS.values()},
        namespace="company",
    )
    assert {key_of(item)[1] for item in objects} == {"", "company", "robots"}
    assert {key_of(item)[2] for item in objects if item["kind"] == "Namespace"} == {"company", "robots"}
    configured = [item for item in objects if item["kind"] != "ConfigMap"]  # whose text people write themselves
    assert "squire-agents'" not in str(
        [{**item, "metadata": {}} for item in configured if item["kind"] == "NetworkPolicy"]
    )
    binding = next(item for item in objects if item["kind"] == "RoleBinding")
    assert binding["subjects"][0]["namespace"] == "company"


def test_what_people_set_arrives() -> None:
    objects = by_key(
        render_chart(
            CHART,
            {
                "image": {"repository": "registry.example.com/squire-pipeline", "tag": "2.0"},
                "imagePullSecrets": [{"name": "registry"}],
                "config": 'repositories = ["acme/app"]\n\n[logging]\nformat = "ecs"\n',
                "workers": {"agent": {"slots": 12, "replicas": 5}},
                "receiver": {"resources": {"limits": {"cpu": "3"}}},
            },
        )
    )
    config = objects["ConfigMap", "squire", "squire-config"]["data"]["config.toml"]
    assert config == 'repositories = ["acme/app"]\n\n[logging]\nformat = "ecs"\n'
    worker = objects["Deployment", "squire", "squire-worker-agent"]["spec"]
    assert worker["replicas"] == 5
    assert worker["template"]["spec"]["containers"][0]["args"][-1] == "12"
    assert worker["template"]["spec"]["containers"][0]["image"] == "registry.example.com/squire-pipeline:2.0"
    assert objects["ServiceAccount", "squire", "squire-worker"]["imagePullSecrets"] == [{"name": "registry"}]
    receiver = objects["Deployment", "squire", "squire-receiver"]["spec"]["template"]["spec"]
    assert receiver["containers"][0]["resources"]["limits"]["cpu"] == "3"


@pytest.mark.parametrize("path", sorted(CHART.glob("templates/*.yaml")), ids=lambda path: path.name)
def test_no_comment_for_the_script_is_left(path: Path) -> None:
    assert "# chart" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line",
    [
        "replicas: 2 # chart: replicas",
        "namespace: other # chart: .Release.Namespace",
        "# chart: unless .Values.keda.enabled",
        "replicas: 2 # chart .Values.board.replicas",
    ],
)
def test_a_comment_that_means_nothing_is_refused(line: str) -> None:
    with pytest.raises(ChartError):
        template_of(line, Values())


def test_two_defaults_of_one_value_are_refused() -> None:
    with pytest.raises(ChartError, match=r"\.Values\.board\.replicas is 1 in one manifest and 2 in another"):
        template_of("a: 1 # chart: .Values.board.replicas\nb: 2 # chart: .Values.board.replicas", Values())


@pytest.mark.parametrize(
    "template",
    [
        "{{ .Values.missing }}",
        "{{ .Values.list }}",
        "{{ .Values.name | upper }}",
        '{{ include "squire.name" . }}',
        "{{- if .Values.name }}",
        "{{- end }}",
        "{{ .Values.name ",
    ],
)
def test_the_renderer_refuses_what_it_does_not_know(template: str) -> None:
    with pytest.raises(TemplateError):
        render(template, {"name": "x", "list": []}, namespace="squire")


def test_a_manifest_without_comments_is_its_own_template(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  namespace: b\nspec: {}\n", encoding="utf-8")
    template = template_of(path.read_text(encoding="utf-8"), Values())
    path.write_text(render(template, {}, namespace="squire"), encoding="utf-8")
    assert [key_of(item) for item in read(path)] == [("Service", "b", "a")]
