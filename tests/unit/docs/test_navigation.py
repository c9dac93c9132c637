"""The documentation's menu lists every page."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_menu_lists_every_page_once() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(re.findall(r"(\S+\.md)$", menu, re.MULTILINE)) == sorted(pages)
