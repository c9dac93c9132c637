"""Writes the image's bill of materials as CycloneDX 1.5 JSON, from what is on its disk. Standard library only.

Runs at the end of the image's build, and anywhere else with `--root`: it reads files and starts nothing. It has no date
and its serial number follows from its content, so that the same image always has the same bill.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import uuid
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

Component = dict[str, Any]
PYTHON_PLACES = ("opt/tools", "opt/toolchains", "opt/agents", "usr/lib/python3", "usr/local/lib")
NODE_VERSIONS = ("opt/toolchains/node/VERSION", "opt/agents/*/node/VERSION")
NODE_PLACES = ("opt/toolchains/node/lib/node_modules", "opt/agents")
MAX_METADATA_BYTES = 4_000_000
MAX_COMPONENTS = 20_000


def component(name: str, version: str, purl: str, **more: Any) -> Component:
    """One entry; its package URL is its identity."""
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, **more}


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_METADATA_BYTES).decode("utf-8", errors="replace")


def debian(root: Path) -> Iterator[Component]:
    """The installed packages in dpkg's database."""
    status = root / "var/lib/dpkg/status"
    if not status.is_file():
        return
    distribution = _os_release(root).get("ID", "debian")
    for stanza in _text(status).split("\n\n"):
        fields = HeaderParser().parsestr(stanza.strip())
        name, version = fields.get("Package"), fields.get("Version")
        if not name or not version or not fields.get("Status", "").endswith(" installed"):
            continue
        architecture = fields.get("Architecture", "all")
        purl = f"pkg:deb/{distribution}/{quote(name)}@{quote(version, safe='')}?arch={architecture}"
        yield component(name, version, purl)


def _os_release(root: Path) -> dict[str, str]:
    path = root / "etc/os-release"
    lines = _text(path).splitlines() if path.is_file() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {name: value.strip('"') for name, value in pairs}


def python(root: Path) -> Iterator[Component]:
    """The distributions with metadata that pip, uv or Debian left."""
    for place in PYTHON_PLACES:
        for metadata in sorted((root / place).rglob("*.dist-info/METADATA")):
            fields = HeaderParser().parsestr(_text(metadata), headersonly=True)
            name, version = fields.get("Name"), fields.get("Version")
            if name and version:
                yield component(name, version, f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(version)}")


def node(root: Path) -> Iterator[Component]:
    """The packages under node_modules, and node itself."""
    for version in (path for pattern in NODE_VERSIONS for path in sorted(root.glob(pattern))):
        number = _text(version).strip()
        yield component("node", number, f"pkg:generic/node@{quote(number)}", type="application")
    for place in NODE_PLACES:
        for manifest in sorted((root / place).rglob("package.json")):
            try:
                document = json.loads(_text(manifest))
            except ValueError:
                continue  # templates and fixtures within packages
            if not isinstance(document, dict):
                continue
            name, release = document.get("name"), document.get("version")
            if isinstance(name, str) and isinstance(release, str) and name and release:
                yield component(name, release, f"pkg:npm/{quote(name, safe='/')}@{quote(release)}")


def opencode(root: Path) -> Iterator[Component]:
    """The agent's binary, with its hash: it is one file, and no package manager knows it."""
    binary, version = root / "usr/local/bin/opencode", root / "etc/squire/opencode.version"
    if not binary.is_file() or not version.is_file():
        return
    digest = hashlib.sha256()
    with binary.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    number = _text(version).strip()
    hashes = [{"alg": "SHA-256", "content": digest.hexdigest()}]
    yield component("opencode-ai", number, f"pkg:npm/opencode-ai@{quote(number)}", type="application", hashes=hashes)


def bill(root: Path, *, name: str = "squire-worker") -> dict[str, Any]:
    """Return the whole document. Raises ValueError when there is more than a bill should hold."""
    by_ref: dict[str, Component] = {}
    for source in (debian, python, node, opencode):
        for item in source(root):
            by_ref.setdefault(item["bom-ref"], item)
            if len(by_ref) > MAX_COMPONENTS:
                raise ValueError(f"more than {MAX_COMPONENTS} components")
    components = [by_ref[key] for key in sorted(by_ref)]
    system = _os_release(root)
    if system.get("ID"):
        release = system.get("VERSION_ID", "")
        entry = {"type": "operating-system", "bom-ref": "os", "name": system["ID"], "version": release}
        components.insert(0, entry)
    content = json.dumps(components, sort_keys=True).encode()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=4)}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": "image", "name": name}},
        "components": components,
    }


def main() -> int:
    """Writes the bill to a file or to stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--name", default="squire-worker")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    text = json.dumps(bill(arguments.root, name=arguments.name), indent=1) + "\n"
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
