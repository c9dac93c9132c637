"""The image's bill of materials: what is found on a disk, and that the same content gives the same bytes."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from squire_worker import sbom

NPM = "opt/toolchains/node/lib/node_modules/npm"
STATUS = """Package: git
Status: install ok installed
Architecture: amd64
Version: 1:2.39.5-0+deb12u2
Description: fast
 and more

Package: gone
Status: deinstall ok config-files
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2026a-0+deb12u1
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "var/lib/dpkg/status": STATUS,
        "opt/tools/lib/python3.11/site-packages/ruff-0.17.6.dist-info/METADATA": "Name: ruff\nVersion: 0.17.6\n\ntext",
        "opt/tools/lib/python3.11/site-packages/odd-1.dist-info/METADATA": "Summary: no name\n",
        "opt/toolchains/node/VERSION": "24.19.0\n",
        f"{NPM}/package.json": '{"name": "npm", "version": "11.17.0"}',
        f"{NPM}/node_modules/@npmcli/x/package.json": '{"name": "@npmcli/x", "version": "1"}',
        f"{NPM}/template/package.json": '{"name": "{{name}}"',
        f"{NPM}/other/package.json": "[]",
        "usr/local/bin/opencode": "binary",
        "etc/squire/opencode.version": "1.18.18\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def purls(bill: dict[str, Any]) -> list[str]:
    return [component["purl"] for component in bill["components"] if "purl" in component]


def test_every_kind_of_package_is_listed_once_in_order(root: Path) -> None:
    bill = sbom.bill(root)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["components"][0] == {"type": "operating-system", "bom-ref": "os", "name": "debian", "version": "12"}
    assert purls(bill) == [
        "pkg:deb/debian/git@1%3A2.39.5-0%2Bdeb12u2?arch=amd64",
        "pkg:deb/debian/tzdata@2026a-0%2Bdeb12u1?arch=all",
        "pkg:generic/node@24.19.0",
        "pkg:npm/%40npmcli/x@1",
        "pkg:npm/npm@11.17.0",
        "pkg:npm/opencode-ai@1.18.18",
        "pkg:pypi/ruff@0.17.6",
    ]
    (opencode,) = [component for component in bill["components"] if component["name"] == "opencode-ai"]
    assert opencode["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(b"binary").hexdigest()}]


def test_the_same_content_has_the_same_bill_and_another_another(root: Path) -> None:
    first = sbom.bill(root)
    assert sbom.bill(root) == first
    (root / "opt/toolchains/node/VERSION").write_text("25.0.0")
    assert sbom.bill(root)["serialNumber"] != first["serialNumber"]


def test_an_empty_disk_has_an_empty_bill(tmp_path: Path) -> None:
    assert sbom.bill(tmp_path)["components"] == []


def test_too_much_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "MAX_COMPONENTS", 3)
    with pytest.raises(ValueError, match="more than 3"):
        sbom.bill(root)


def test_it_is_a_command_that_writes_a_file_or_to_stdout(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-I", sbom.__file__, "--root", str(root), "--name", "mine"]
    output = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert json.loads(output)["metadata"]["component"]["name"] == "mine"
    target = tmp_path / "out.json"
    subprocess.run([*command, "--output", str(target)], timeout=60, check=True)
    assert target.read_text(encoding="utf-8") == output


def test_an_agents_program_is_listed_with_what_it_brings(root: Path) -> None:
    files = {
        "opt/agents/gemini/node/VERSION": "24.19.0\n",
        "opt/agents/gemini/node_modules/g/package.json": '{"name": "@google/gemini-cli", "version": "1"}',
        "opt/agents/mini/lib/python3.11/site-packages/m-2.dist-info/METADATA": "Name: m\nVersion: 2\n",
    }
    before = set(purls(sbom.bill(root)))
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    added = set(purls(sbom.bill(root))) - before
    assert added == {"pkg:npm/%40google/gemini-cli@1", "pkg:pypi/m@2"}
