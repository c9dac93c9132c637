"""Links that the build of the documentation does not see: of pages outside `docs`, and of the package's texts."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.house import PACKAGE, ROOT

OUTSIDE = ("*.md", "scripts/*.md", "forge/*.md", "deploy/**/*.md", "tests/*.md", ".github/*.md")
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)\)")
_NAMED = re.compile(r"(?<![\w/])(docs/[a-z0-9/-]+\.md)(#[a-z0-9-]+)?")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_FENCED = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that the headings of a page have."""
    titles = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in _HEADING.findall(_prose(page)))
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def _prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def _missing(origin: Path, target: Path, anchor: str) -> Iterator[str]:
    if not target.exists():
        yield f"{origin.relative_to(ROOT)}: there is no {target}"
    elif anchor and target.suffix == ".md" and anchor not in anchors(target):
        yield f"{origin.relative_to(ROOT)}: {target.name} has no #{anchor}"


def test_each_link_of_a_page_outside_the_documentation_leads_somewhere() -> None:
    pages = sorted({page for pattern in OUTSIDE for page in ROOT.glob(pattern)})
    links = [(page, link) for page in pages for link in _LINK.findall(_prose(page))]
    assert len(links) > 50
    wrong: list[str] = []
    for page, link in links:
        path, _, anchor = link.partition("#")
        wrong += _missing(page, (page.parent / path).resolve() if path else page, anchor)
    assert not wrong, "\n".join(wrong)


def test_each_page_that_the_package_names_is_there() -> None:
    named = [
        (module, path, anchor)
        for module in PACKAGE.rglob("*.py")
        for path, anchor in _NAMED.findall(module.read_text(encoding="utf-8"))
    ]
    assert len(named) > 10
    wrong = [line for module, path, anchor in named for line in _missing(module, ROOT / path, anchor.removeprefix("#"))]
    assert not wrong, "\n".join(wrong)
