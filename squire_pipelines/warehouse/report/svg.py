"""matplotlib's SVG made part of a page: classes in the place of styles, the page's colours, no ids of others.

A page that forbids inline styles can then show it, and nothing of one drawing takes hold of another's.
"""

import re
from xml.etree import ElementTree as ET

from squire_pipelines.warehouse.report import theme

_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}\b")
_HREF = "{http://www.w3.org/1999/xlink}href"
_KEPT = frozenset({"class", "clip-path", "d", "height", "href", "id", "transform", "viewBox", "width", "x", "y"})


class Styles:
    """The classes of all drawings of a page, each style once."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name_of(self, declarations: str) -> str:
        """The class for these declarations."""
        return self._names.setdefault(declarations, f"v{len(self._names)}")

    def css(self) -> str:
        """All rules."""
        return "".join(f".{name}{{{declarations}}}" for declarations, name in self._names.items())


def inline(drawn: str, styles: Styles, *, key: str, title: str, description: str, css_class: str) -> str:
    """The drawing as an element of a page.

    Args:
        drawn: What matplotlib wrote.
        styles: Of the page; what the drawing needs is added.
        key: No other drawing of the page has it.
        title: Its name, for those who do not see it.
        description: What it shows, likewise.
        css_class: Of the element.
    """
    root = ET.fromstring(drawn)  # noqa: S314 - what is parsed was drawn a moment ago, by us
    references = set(_REFERENCE.findall(drawn)) | {
        href.removeprefix("#") for each in root.iter() if (href := each.get(_HREF))
    }
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in {"metadata", "style"}:
                parent.remove(child)
    for each in root.iter():
        each.tag = _local(each.tag)
        _rewrite(each, styles, key, references)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "class": css_class,
        "role": "img",
        "aria-labelledby": f"{key}-title {key}-text",
    }
    for position, (tag, suffix, text) in enumerate((("title", "title", title), ("desc", "text", description))):
        element = ET.Element(tag, {"id": f"{key}-{suffix}"})
        element.text = text
        root.insert(position, element)
    return ET.tostring(root, encoding="unicode")


def _rewrite(element: ET.Element, styles: Styles, key: str, references: set[str]) -> None:
    attributes = {_local(name): value for name, value in element.attrib.items()}
    kept: dict[str, str] = {}
    if declarations := _declarations(attributes.get("style", "")):
        kept["class"] = styles.name_of(declarations)
    for name, value in attributes.items():
        if name == "id" and value not in references:
            continue
        if name in _KEPT:
            kept[name] = value
    if "id" in kept:
        kept["id"] = f"{key}-{kept['id']}"
    if "href" in kept:
        kept["href"] = f"#{key}-{kept['href'].removeprefix('#')}"
    if "clip-path" in kept:
        kept["clip-path"] = _REFERENCE.sub(lambda found: f"url(#{key}-{found[1]})", kept["clip-path"])
    if "transform" in kept and kept["transform"].startswith(("rotate(-0 ", "rotate(0 ")):
        del kept["transform"]
    element.attrib = kept


def _declarations(style: str) -> str:
    found = []
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name and name != "font-family":  # the page's own font
            found.append(f"{name}:{_COLOR.sub(_variable, value)}")
    return ";".join(found)


def _variable(color: re.Match[str]) -> str:
    return f"var({theme.VARIABLES[color[0].lower()]})"


def _local(name: str) -> str:
    return name.rpartition("}")[2]
