"""The overlays: what they change, and that `kubectl kustomize` makes the same of them as the tests do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from squire_pipelines import __version__
from squire_pipelines.sections.webhooks import WebhookSettings
from tests.support.manifest_rules import workloads
from tests.support.manifest_settings import config_of, settings_of
from tests.support.manifests import BASE, COMPONENTS, FOLDER, OVERLAYS, build, by_key, containers_of, key_of
from tests.support.yaml_files import load, load_all

FOLDERS = {"base": BASE, **{name: FOLDER / "overlays" / name for name in OVERLAYS}}
KUBECTL = shutil.which("kubectl")


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed: the rules see what the tests' own builder makes")
@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
def test_kubectl_builds_the_same(folder: Path) -> None:
    command = [str(KUBECTL), "kustomize", str(folder)]
    built = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert by_key(load_all(built)) == by_key(build(folder))


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
def test_the_settings_are_valid_and_those_of_several_machines(folder: Path) -> None:
    settings = settings_of(build(folder))
    assert settings.is_shared
    assert settings.files.url.startswith("s3://")
    assert settings.board.login == "token"
    assert settings.logging.format == "json"
    assert 'runner = "kubernetes"' in config_of(build(folder))


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
def test_the_settings_agree_with_the_objects(folder: Path) -> None:
    objects = by_key(build(folder))
    settings = settings_of(list(objects.values()))
    kubernetes = settings.kubernetes
    assert ("Namespace", "", kubernetes.namespace) in objects
    assert ("PriorityClass", "", kubernetes.priority_class) in objects
    host, _, port = str(kubernetes.door).partition(":")
    name, namespace, _ = host.split(".")
    service = objects["Service", namespace, name]
    assert service["spec"].get("clusterIP") != "None"  # agents' pods are given its one address
    assert [one["port"] for one in service["spec"]["ports"]] == [int(port)]
    ports = {
        one["name"]: one["containerPort"]
        for item in workloads(list(objects.values()))
        for container in containers_of(item)
        for one in container.get("ports", ())
        if key_of(item)[2].startswith("squire-")
    }
    assert ports == {
        "ui": settings.pipeline.webserver_port,
        "metrics": settings.observability.port,
        "webhooks": settings.webhooks.port,
        "board": settings.board.port,
        "door": kubernetes.door_port,
    }
    assert [
        settings.pipeline.webserver_host,
        settings.observability.host,
        settings.webhooks.host,
        settings.board.host,
    ] == [
        "0.0.0.0"  # noqa: S104 - what is in a pod is reached by its address
    ] * 4


def test_an_agent_fits_into_the_bounds_of_its_namespace() -> None:
    objects = by_key(build(BASE))
    limits = settings_of(list(objects.values())).agent.limits
    largest = objects["LimitRange", "squire-agents", "squire-agents"]["spec"]["limits"][0]["max"]
    assert limits.cpus <= float(largest["cpu"])
    assert limits.memory <= int(largest["memory"].removesuffix("Gi")) * 2**30


def test_the_ingress_takes_deliveries_as_large_as_the_receiver_does() -> None:
    objects = by_key(build(FOLDER / "overlays" / "production"))
    annotations = objects["Ingress", "squire", "squire-receiver"]["metadata"]["annotations"]
    largest = int(annotations["nginx.ingress.kubernetes.io/proxy-body-size"].removesuffix("m")) * 2**20
    assert largest == WebhookSettings().max_body


def test_the_addresses_of_the_ingress_are_those_of_the_settings() -> None:
    objects = by_key(build(FOLDER / "overlays" / "production"))
    settings = settings_of(list(objects.values()))
    hosts = [
        objects["Ingress", "squire", name]["spec"]["rules"][0]["host"] for name in ("squire-receiver", "squire-board")
    ]
    assert [f"https://{host}" for host in hosts] == [settings.webhooks.public_url, settings.board.public_url]


def test_all_images_of_ours_are_of_this_version() -> None:
    for folder in FOLDERS.values():
        objects = build(folder)
        images = [container["image"] for item in workloads(objects) for container in containers_of(item)]
        images += re.findall(r'^image = "(.*)"$', config_of(objects), re.MULTILINE)
        ours = {image.rpartition(":")[2] for image in images if "squire-" in image}
        assert ours == {__version__}


def test_production_takes_every_image_from_its_registry() -> None:
    objects = build(FOLDER / "overlays" / "production")
    images = {container["image"].partition("/")[0] for item in workloads(objects) for container in containers_of(item)}
    assert images == {"registry.example.com"}


@pytest.mark.parametrize("folder", [*FOLDERS.values(), *(FOLDER / "components" / name for name in COMPONENTS)])
def test_every_file_of_a_folder_is_part_of_what_is_built(folder: Path) -> None:
    file = load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    named = {*file.get("resources", ()), *(patch["path"] for patch in file.get("patches", ()) if "path" in patch)}
    assert {path.name for path in folder.glob("*.yaml")} == {
        *(name for name in named if name.endswith(".yaml")),
        "kustomization.yaml",
    }
