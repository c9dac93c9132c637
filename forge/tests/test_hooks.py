"""Webhooks as their owners manage them: deliveries by pages, redelivery, another secret, hooks that send nothing."""

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from github_schemas import conforms
from squire_forge.client import ForgeClient

REPOSITORY = "demo/handbook"
HOOK = f"/repos/{REPOSITORY}/hooks/1"
DELIVERIES = "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries"


@pytest.fixture
def hooked(serve_forge: Callable[..., ForgeClient], receiver: Any, samples: Any) -> ForgeClient:
    """A forge that sends webhooks about one repository; the first ones are taken already."""
    forge = serve_forge(webhook_url=receiver.url)
    forge.host_repository(next(sample for sample in samples if sample.name == "handbook"))
    forge.settle()
    receiver.all()
    return forge


def label(api: Any, name: str) -> None:
    """Have one delivery sent."""
    assert api.rest("POST", f"/repos/{REPOSITORY}/issues/1/labels", {"labels": [name]}).status_code == 200


def is_signed(webhook: Any, secret: str) -> bool:
    digest = hmac.new(secret.encode(), webhook.body, hashlib.sha256).hexdigest()
    return bool(webhook.headers["x-hub-signature-256"] == f"sha256={digest}")


def test_deliveries_are_listed_page_by_page_as_github_describes_them(hooked: ForgeClient, api_of: Any) -> None:
    api = api_of(hooked)
    whole = [one["id"] for one in api.rest("GET", f"{HOOK}/deliveries?per_page=100").json()]
    assert len(whole) > 4
    seen: list[int] = []
    path: str | None = f"{HOOK}/deliveries?per_page=4"
    while path:
        page = api.rest("GET", path)
        conforms(page, "get", DELIVERIES)
        seen += [one["id"] for one in page.json()]
        path = page.links["next"]["url"].removeprefix(hooked.api_url) if "next" in page.links else None
    assert seen == whole
    assert api.rest("GET", f"{HOOK}/deliveries?cursor=what").status_code == 400
    one = api.rest("GET", f"{HOOK}/deliveries/{whole[0]}")
    conforms(one, "get", f"{DELIVERIES}/{{delivery_id}}")


def test_a_delivery_that_a_fault_loses_is_sent_when_it_is_asked_for_again(
    hooked: ForgeClient, receiver: Any, api_of: Any
) -> None:
    api = api_of(hooked)
    hooked.add_fault(f"^DELIVER issues {REPOSITORY}$", status=504, times=2)
    for name in ("lost", "lost too", "sent"):
        label(api, name)
    hooked.settle()
    assert [webhook.payload["label"]["name"] for webhook in receiver.all()] == ["sent"]
    lost = [one for one in api.rest("GET", f"{HOOK}/deliveries").json() if one["status_code"] == 504]
    assert api.rest("POST", f"{HOOK}/deliveries/{lost[-1]['id']}/attempts").status_code == 202
    hooked.settle()
    (again,) = receiver.all()
    assert (again.payload["label"]["name"], again.headers["x-github-delivery"]) == ("lost", lost[-1]["guid"])


def test_a_fault_may_lose_the_answer_alone(hooked: ForgeClient, receiver: Any, api_of: Any) -> None:
    api = api_of(hooked)
    hooked.add_fault("^DELIVER ", status=504, after=True)
    label(api, "x")
    hooked.settle()
    assert len(receiver.all()) == 1
    assert api.rest("GET", f"{HOOK}/deliveries?per_page=1").json()[0]["status"] == "Gateway Timeout"


def test_another_secret_signs_from_then_on_and_is_never_shown(hooked: ForgeClient, receiver: Any, api_of: Any) -> None:
    api = api_of(hooked)
    changed = api.rest("PATCH", f"{HOOK}/config", {"secret": "another"})
    conforms(changed, "patch", "/repos/{owner}/{repo}/hooks/{hook_id}/config")
    assert changed.json()["secret"] == "********"
    assert api.rest("PATCH", f"{HOOK}/config", {"colour": "red"}).status_code == 422
    assert api.rest("PATCH", f"{HOOK}/config", {"url": "https://elsewhere.test"}).status_code == 422
    assert api.rest("POST", f"{HOOK}/pings").status_code == 204
    hooked.settle()
    (ping,) = receiver.all()
    assert (ping.event, is_signed(ping, "another")) == ("ping", True)


def test_a_hook_that_is_switched_off_or_deleted_sends_nothing(hooked: ForgeClient, receiver: Any, api_of: Any) -> None:
    api = api_of(hooked)
    off = api.rest("PATCH", HOOK, {"active": False})
    conforms(off, "patch", "/repos/{owner}/{repo}/hooks/{hook_id}")
    assert off.json()["active"] is False
    label(api, "x")
    hooked.settle()
    assert receiver.all() == []
    assert api.rest("DELETE", HOOK).status_code == 204
    assert api.rest("GET", f"/repos/{REPOSITORY}/hooks").json() == []
    assert api.rest("GET", f"{HOOK}/deliveries").status_code == 404


def test_an_app_has_the_deliveries_and_the_secret_of_its_own_hook(hooked: ForgeClient, receiver: Any) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    hooked.register_app("77", public.decode())
    now = int(time.time())
    bearer = jwt.encode({"iss": "77", "iat": now - 60, "exp": now + 300}, key, algorithm="RS256")
    headers = {"authorization": f"Bearer {bearer}"}

    with httpx.Client(base_url=f"{hooked.api_url}/app/hook", headers=headers, trust_env=False) as app:
        listed = app.get("/deliveries?per_page=2")
        conforms(listed, "get", "/app/hook/deliveries")
        assert "next" in listed.links
        conforms(app.get("/config"), "get", "/app/hook/config")
        conforms(app.patch("/config", json={"secret": "of the App"}), "patch", "/app/hook/config")
        newest = listed.json()[0]
        assert app.post(f"/deliveries/{newest['id']}/attempts").status_code == 202
        assert app.post("/deliveries/999999999/attempts").status_code == 404
    hooked.settle()
    (again,) = receiver.all()
    assert (again.headers["x-github-delivery"], is_signed(again, "of the App")) == (newest["guid"], True)
    token = {"authorization": f"Bearer {hooked.token}"}
    assert httpx.get(f"{hooked.api_url}/app/hook/deliveries", headers=token, trust_env=False).status_code == 401
