"""The manifests against the official schemas of Kubernetes, from the oldest version that we serve to the newest."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from scripts.helm_chart import OLDEST_KUBERNETES
from tests.support.custom_resources import SCHEMAS
from tests.support.helm_templates import render_chart
from tests.support.manifests import (
    CHART,
    CHART_OPTIONS,
    COMPONENTS,
    FOLDER,
    OVERLAYS,
    Object,
    build,
    unshared,
    with_components,
)

VERSIONS = (OLDEST_KUBERNETES, "1.33", kubernetes_validate.latest_version())


@pytest.fixture(scope="module", autouse=True)
def schemas_read_once() -> Iterator[None]:
    """The library reads several megabytes of definitions for each object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(kubernetes_validate.utils.schema_contents))
        yield


@cache
def all_objects() -> tuple[Object, ...]:
    """Return the objects of all renderings, each once."""
    options = {"namespace": {"create": True}, **{name: {"enabled": True} for name in CHART_OPTIONS.values()}}
    renderings = [
        with_components(*COMPONENTS),
        *(build(FOLDER / "overlays" / name) for name in OVERLAYS),
        render_chart(CHART, options),
    ]
    different: list[Object] = []
    for item in (item for rendering in renderings for item in rendering):
        if item not in different:
            different.append(item)
    return tuple(different)


def official(objects: tuple[Object, ...]) -> list[Object]:
    return [item for item in objects if item["kind"] not in SCHEMAS]


def validate(item: Object) -> None:
    if item["kind"] in SCHEMAS:
        jsonschema.validate(item, SCHEMAS[item["kind"]])
    else:
        kubernetes_validate.validate(item, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_is_one_of_the_official_schemas(version: str) -> None:
    for item in official(all_objects()):
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_each_object_of_an_operator_is_as_its_documentation_has_it(kind: str) -> None:
    objects = [item for item in all_objects() if item["kind"] == kind]
    assert objects
    for item in objects:
        jsonschema.validate(item, SCHEMAS[kind])


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Deployment", "spec.template.spec.containerz"),
        ("NetworkPolicy", "spec.podselector"),
        ("PodDisruptionBudget", "spec.maxUnavailable"),
        ("ScaledObject", "spec.minReplicas"),
        ("ExternalSecret", "spec.target.names"),
    ],
)
def test_a_wrong_field_is_refused(kind: str, path: str) -> None:
    item: Any = unshared(next(one for one in all_objects() if one["kind"] == kind))
    *tables, last = path.split(".")
    table = item
    for name in tables:
        table = table[name]
    table[last] = [1.5]
    with pytest.raises(jsonschema.ValidationError):
        validate(item)
