import json
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from github_schemas import conforms
from squire_forge.client import ForgeClient

MANIFEST = {
    "name": "Acme Squire",
    "url": "https://github.test/acme",
    "redirect_url": "http://127.0.0.1:1/callback",
    "default_permissions": {"contents": "write", "metadata": "read"},
}


def send(forge: ForgeClient, path: str, **form: str) -> httpx.Response:
    return httpx.post(f"{forge.url}{path}", data=form, trust_env=False, timeout=20)


def convert(forge: ForgeClient, code: str) -> httpx.Response:
    return httpx.post(f"{forge.api_url}/app-manifests/{code}/conversions", trust_env=False, timeout=20)


def create(forge: ForgeClient, manifest: dict[str, Any]) -> httpx.Response:
    return send(forge, "/organizations/acme/settings/apps", manifest=json.dumps(manifest), state="s t")


def test_a_manifest_becomes_an_app_whose_key_a_code_shows_once(local_forge: ForgeClient) -> None:
    page = send(local_forge, "/settings/apps/new?state=abc", manifest=json.dumps(MANIFEST))
    assert page.status_code == 200
    assert json.loads(unescape(re.findall(r'name="manifest" value="([^"]*)"', page.text)[0])) == MANIFEST
    hook = {"hook_attributes": {"url": "https://hooks.acme.test"}, "default_events": ["push"]}
    made = create(local_forge, MANIFEST | hook)
    assert made.status_code == 302
    query = parse_qs(urlsplit(made.headers["location"]).query)
    assert query["state"] == ["s t"]
    shown = convert(local_forge, query["code"][0])
    assert shown.status_code == 201
    conforms(shown, "POST", "/app-manifests/{code}/conversions")
    app = shown.json()
    assert (app["slug"], app["owner"]["login"], app["events"]) == ("acme-squire", "acme", ["push"])
    assert app["webhook_secret"]
    assert app["pem"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    again = convert(local_forge, query["code"][0])
    assert again.status_code == 404
    conforms(again, "POST", "/app-manifests/{code}/conversions")
    assert "already been taken" in create(local_forge, MANIFEST).text
    assert "is installed" in send(local_forge, "/apps/acme-squire/installations/new").text


@pytest.mark.parametrize(
    "changed",
    [{"hook_attributes": {"active": False}}, {"name": "x" * 35}, {"redirect_url": "https://elsewhere.test/"}],
)
def test_what_github_refuses_is_refused(local_forge: ForgeClient, changed: dict[str, Any]) -> None:
    assert create(local_forge, MANIFEST | changed).status_code == 422
    assert send(local_forge, "/settings/apps/new", manifest="{").status_code == 422
