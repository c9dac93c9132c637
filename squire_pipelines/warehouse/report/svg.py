"""Rewrites matplotlib's SVG for a page: classes instead of styles, the page's colours, ids of its own.

A page that forbids inline styles can then show it, and the ids of one plot do not clash with another's.
"""

import re
from xml.etree import ElementTree as ET

from squire_pipelines.warehouse.report import theme

_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}\b")
_HREF = "{http://www.w3.org/1999/xlink}href"
_KEPT = frozenset({"class", "clip-path", "d", "height", "href", "id", "transform", "viewBox", "width", "x", "y"})


class StyleClasses:
    """The CSS classes of all plots of a page, one for each style."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name_of(self, declarations: str) -> str:
        """Return the class for these declarations."""
        return self._names.setdefault(declarations, f"v{len(self._names)}")

    def css(self) -> str:
        """Return the rules of all classes."""
        return "".join(f".{name}{{{declarations}}}" for declarations, name in self._names.items())


def inline(drawn: str, styles: StyleClasses, *, key: str, title: str, description: str, css_class: str) -> str:
    """Return the plot as an element of a page.

    Args:
        drawn: What matplotlib wrote.
        styles: The page's; those that the plot needs are added.
        key: Begins all ids of this plot; no other plot of the page has it.
        title: For those who do not see it.
        description: Likewise.
        css_class: The element's.
    """
    root = ET.fromstring(drawn)  # noqa: S314 - we have just drawn it ourselves
    references = set(_REFERENCE.findall(drawn)) | {
        href.removeprefix("#") for element in root.iter() if (href := element.get(_HREF))
    }
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in {"metadata", "style"}:
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        _rewrite(element, styles, key, references)
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


def _rewrite(element: ET.Element, styles: StyleClasses, key: str, references: set[str]) -> None:
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
        kept["clip-path"] = _REFERENCE.sub(lambda match: f"url(#{key}-{match[1]})", kept["clip-path"])
    if "transform" in kept and kept["transform"].startswith(("rotate(-0 ", "rotate(0 ")):
        del kept["transform"]
    element.attrib = kept


def _declarations(style: str) -> str:
    declarations = []
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name and name != "font-family":  # the page's own font
            declarations.append(f"{name}:{_COLOR.sub(_variable, value)}")
    return ";".join(declarations)


def _variable(color: re.Match[str]) -> str:
    return f"var({theme.VARIABLES[color[0].lower()]})"


def _local(name: str) -> str:
    return name.rpartition("}")[2]
