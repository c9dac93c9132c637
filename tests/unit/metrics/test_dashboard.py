"""The dashboard asks for metrics that there are, by labels that they have, and shows all of them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from squire_pipelines.metrics.families import ALL, BY_NAME
from squire_pipelines.metrics.family import Family, FamilyKind
from tests.support.house import ROOT

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "squire.json").read_text(encoding="utf-8"))
NAME = re.compile(r"squire_[a-z_]+")
BY = re.compile(r"by \(([^)]*)\)")
SELECTED = re.compile(r"\{([^}]*)\}")


def expressions(panels: Any) -> Iterator[tuple[str, str, str]]:
    for panel in panels:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]
        yield from expressions(panel.get("panels", ()))


EXPRESSIONS = [
    pytest.param(expr, legend, id=f"{title} {expr[:40]}") for title, expr, legend in expressions(DASHBOARD["panels"])
]


def families_of(expression: str) -> list[Family]:
    """Return the families of an expression's names; a histogram has three names for one."""
    families = []
    for name in NAME.findall(expression):
        family = BY_NAME.get(name) or BY_NAME.get(re.sub(r"_(bucket|sum|count)$", "", name))
        assert family is not None, name
        assert (family.kind is FamilyKind.HISTOGRAM) == (family.name != name), name
        families.append(family)
    return families


@pytest.mark.parametrize(("expression", "legend"), EXPRESSIONS)
def test_each_expression_names_families_and_labels_that_there_are(expression: str, legend: str) -> None:
    families = families_of(expression)
    labels = {label.name for family in families for label in family.labels} | {"le"}
    grouped = {name.strip() for names in BY.findall(expression) for name in names.split(",")}
    selected = {part.split("=")[0].strip("! ") for names in SELECTED.findall(expression) for part in names.split(",")}
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert grouped | selected | shown <= labels
    assert not grouped or shown <= grouped
    for family in families:
        if family.kind is not FamilyKind.GAUGE:
            assert re.search(rf"(rate|increase)\({family.name}", expression), "a counter is shown by how it grows"


def test_every_family_is_on_the_dashboard() -> None:
    shown = {family for _, expr, _ in expressions(DASHBOARD["panels"]) for family in families_of(expr)}
    assert {family.name for family in ALL} - {family.name for family in shown} == set()


def test_no_two_panels_lie_on_each_other() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
