"""Lists relative links in the handbook that lead nowhere."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]+\]\(([^)#:]+\.md)(?:#([^)]+))?\)")


def broken_links(root=ROOT):
    """Return (file, target) of each link whose file or heading does not exist."""
    links = []
    for page in sorted([*root.glob("*.md"), *root.glob("docs/*.md")]):
        for target, heading in LINK.findall(page.read_text(encoding="utf-8")):
            path = page.parent / target
            if not path.is_file() or (heading and heading not in _headings(path)):
                links.append((str(page.relative_to(root)), target + (f"#{heading}" if heading else "")))
    return links


def _headings(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return {re.sub(r"[^a-z0-9]+", "-", line.lstrip("# ").lower()) for line in lines if line.startswith("#")}


if __name__ == "__main__":
    broken = broken_links()
    for page, target in broken:
        print(f"{page}: {target} does not exist")
    sys.exit(1 if broken else 0)
