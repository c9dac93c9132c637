"""Webhooks as a receiver sees them and compared with GitHub's published examples where those are installed."""

import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from github_schemas import schema_file
from squire_forge.client import ForgeClient
from squire_forge.outbox import signature

# What GitHub sends and the forge leaves out, because nothing of ours reads it.
_LEFT_OUT = {
    "installation",  # the forge has no Apps
    "organization",  # the owner is in `repository`
}


@cache
def _examples(event: str, action: str | None) -> list[dict[str, Any]]:
    everything = json.loads(schema_file("webhooks-examples/api.github.com/index.json").read_text())
    examples_of_event = next(item["examples"] for item in everything if item["name"] == event)
    return [item for item in examples_of_event if item.get("action") == action]


def _all_keys(examples: list[dict[str, Any]], *path: str) -> set[str]:
    keys: set[str] = set()
    for example in examples:
        value: Any = example
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
            value = value[0] if isinstance(value, list) and value else value
        keys |= set(value) if isinstance(value, dict) else set()
    return keys


def _always(examples: list[dict[str, Any]], *path: str) -> set[str]:
    key_sets = [keys for example in examples if (keys := _all_keys([example], *path))]
    return set.intersection(*key_sets) if key_sets else set()


def _conforms(payload: dict[str, Any], event: str, *paths: tuple[str, ...]) -> None:
    """All keys that every example has are there, and there is none that no example has."""
    examples = _examples(event, payload.get("action"))
    assert examples, f"there are no examples of {event} {payload.get('action')}"
    for path in ((), ("repository",), ("repository", "owner"), ("sender",), *paths):
        ours = _all_keys([payload], *path)
        where = ".".join((event, *path))
        assert _always(examples, *path) - ours - _LEFT_OUT == set(), f"{where} lacks keys"
        extra = ours - _all_keys(examples, *path) - {"user_view_type", "web_commit_signoff_required"}
        assert extra == set(), f"{where} has keys that GitHub's has not"


@pytest.fixture
def hooked(serve_forge: Callable[..., ForgeClient], receiver: Any, samples: Any) -> ForgeClient:
    """A forge that sends webhooks and hosts the samples; their first webhooks are still in the receiver."""
    forge = serve_forge(webhook_url=receiver.url)
    for sample in samples:
        forge.host_repository(sample)
    forge.settle()
    return forge


def _of(received: list[Any], event: str, action: str | None = None, repository: str | None = None) -> list[Any]:
    return [
        webhook
        for webhook in received
        if webhook.event == event
        and webhook.payload.get("action") == action
        and repository in {None, webhook.payload["repository"]["full_name"]}
    ]


def test_the_signature_is_githubs() -> None:
    # GitHub's own test vector.
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signature("It's a Secret to Everybody", b"Hello, World!") == expected


def test_hosting_is_announced_signed_and_shaped_as_github_does(hooked: ForgeClient, receiver: Any) -> None:
    received = receiver.all()
    for webhook in received:
        digest = hmac.new(hooked.webhook_secret.encode(), webhook.body, hashlib.sha256).hexdigest()
        assert webhook.headers["x-hub-signature-256"] == f"sha256={digest}"
        assert webhook.headers["content-type"] == "application/json"
        assert webhook.headers["user-agent"].startswith("GitHub-Hookshot/")
        assert webhook.headers["x-github-hook-id"] == "1"
        uuid.UUID(webhook.headers["x-github-delivery"])
    assert len({webhook.headers["x-github-delivery"] for webhook in received}) == len(received)
    assert len(_of(received, "ping")) == 4
    runs = _of(received, "check_run", "completed", "demo/ledgerlib")
    run = next(webhook.payload for webhook in runs if webhook.payload["check_run"]["name"] == "tests")
    issue, pull, suite = (
        _of(received, "issues", "opened")[0].payload,
        _of(received, "pull_request", "opened")[0].payload,
        _of(received, "check_suite", "completed", "demo/ledgerlib")[0].payload,
    )
    assert run["check_run"]["conclusion"] == "failure"
    assert suite["check_suite"]["conclusion"] == "failure"
    assert suite["check_suite"]["head_branch"] == "main"
    _conforms(_of(received, "ping")[0].payload, "ping", ("hook",))
    _conforms(issue, "issues", ("issue",), ("issue", "user"))
    _conforms(
        pull,
        "pull_request",
        ("pull_request",),
        ("pull_request", "_links"),
        ("pull_request", "user"),
        ("pull_request", "base"),
        ("pull_request", "head"),
    )
    _conforms(
        run, "check_run", ("check_run",), ("check_run", "output"), ("check_run", "check_suite"), ("check_run", "app")
    )
    _conforms(suite, "check_suite", ("check_suite",), ("check_suite", "head_commit"), ("check_suite", "app"))


def test_checks_of_a_pull_request_name_it(hooked: ForgeClient, receiver: Any) -> None:
    assert hooked.url
    (run,) = [
        webhook.payload
        for webhook in _of(receiver.all(), "check_run", "completed", "demo/handbook")
        if webhook.payload["check_run"]["check_suite"]["head_branch"] == "tomas/holidays"
    ]
    (linked,) = run["check_run"]["pull_requests"]
    assert (linked["number"], linked["head"]["ref"]) == (3, "tomas/holidays")
    _conforms(run, "check_run", ("check_run", "pull_requests"), ("check_run", "pull_requests", "head"))


@pytest.mark.slow
def test_a_push_is_announced_with_its_commits(hooked: ForgeClient, receiver: Any, clone_of: Callable[..., Any]) -> None:
    receiver.all()
    clone = clone_of(hooked, "demo/webshop")
    before = clone.run("rev-parse", "origin/noor/discount-codes").stdout.strip()
    after = clone.commit("noor/discount-codes", {"src/discounts.mjs": "// Written again.\n"}, message="Write it again")
    clone.push("noor/discount-codes")
    hooked.settle()
    received = receiver.all()
    (push,) = _of(received, "push")
    assert (push.payload["before"], push.payload["after"]) == (before, after)
    assert push.payload["ref"] == "refs/heads/noor/discount-codes"
    assert [commit["message"] for commit in push.payload["commits"]] == ["Write it again"]
    assert push.payload["commits"][0]["modified"] == ["src/discounts.mjs"]
    assert (push.payload["created"], push.payload["forced"]) == (False, False)
    _conforms(push.payload, "push", ("pusher",), ("head_commit",), ("head_commit", "author"))
    (synchronize,) = _of(received, "pull_request", "synchronize")
    assert (synchronize.payload["before"], synchronize.payload["after"]) == (before, after)
    assert synchronize.payload["pull_request"]["head"]["sha"] == after
    _conforms(synchronize.payload, "pull_request", ("pull_request",))
    webshop = next(repository for repository in hooked.state()["repositories"] if repository["name"] == "demo/webshop")
    # The line that the second finding stands on is another one now, and so is that of the third.
    assert [thread["outdated"] for thread in webshop["pull_requests"][0]["threads"]] == [False, True, True]


@pytest.mark.slow
def test_a_branch_that_is_made_forced_and_deleted_says_so(
    hooked: ForgeClient, receiver: Any, clone_of: Callable[..., Any]
) -> None:
    receiver.all()
    clone = clone_of(hooked, "demo/quiet")
    clone.commit("topic", {"a.txt": "a"})
    clone.push("topic")
    clone.run("commit", "--quiet", "--amend", "-m", "Otherwise")
    clone.push("+topic")
    clone.push(":topic")
    hooked.settle()
    flags = [
        (webhook.payload["created"], webhook.payload["forced"], webhook.payload["deleted"])
        for webhook in sorted(_of(receiver.all(), "push"), key=lambda webhook: bool(webhook.payload["deleted"]))
    ]
    assert sorted(flags) == [(False, False, True), (False, True, False), (True, False, False)]


@pytest.mark.slow
def test_edits_and_labels_are_announced(hooked: ForgeClient, receiver: Any, api_of: Any) -> None:
    receiver.all()
    api = api_of(hooked)
    api.rest("PATCH", "/repos/demo/handbook/pulls/3", {"title": "Holidays"})
    api.rest("POST", "/repos/demo/handbook/issues/3/labels", {"labels": ["ready"]})
    api.rest("POST", "/repos/demo/handbook/issues/2/labels", {"labels": ["ready"]})
    api.rest("PATCH", "/repos/demo/handbook/pulls/3", {"state": "closed"})
    api.rest("PATCH", "/repos/demo/handbook/pulls/3", {"state": "open"})
    hooked.settle()
    received = receiver.all()
    (edited,) = _of(received, "pull_request", "edited")
    assert edited.payload["changes"] == {"title": {"from": "A page on holidays"}}
    assert _of(received, "pull_request", "labeled")[0].payload["label"]["name"] == "ready"
    assert _of(received, "issues", "labeled")[0].payload["issue"]["number"] == 2
    _conforms(_of(received, "issues", "labeled")[0].payload, "issues", ("issue",), ("label",))
    assert len(_of(received, "pull_request", "closed")) == len(_of(received, "pull_request", "reopened")) == 1


def test_comments_are_announced_when_they_are_written_and_changed(
    hooked: ForgeClient, receiver: Any, api_of: Any
) -> None:
    receiver.all()
    api = api_of(hooked)
    api.rest("POST", "/repos/demo/handbook/issues/2/comments", {"body": "Seen."})
    made = api.rest("POST", "/repos/demo/handbook/issues/3/comments", {"body": "Seen."}).json()
    api.rest("PATCH", f"/repos/demo/handbook/issues/comments/{made['id']}", {"body": "Done."})
    hooked.settle()
    received = receiver.all()
    on_issue, on_pull = _of(received, "issue_comment", "created")
    assert "pull_request" not in on_issue.payload["issue"]
    assert on_pull.payload["issue"]["pull_request"]["url"].endswith("/pulls/3")
    assert on_pull.payload["comment"]["body"] == "Seen."
    (edited,) = _of(received, "issue_comment", "edited")
    assert (edited.payload["comment"]["body"], edited.payload["changes"]) == ("Done.", {"body": {"from": "Seen."}})
    _conforms(on_issue.payload, "issue_comment", ("issue",), ("comment",), ("comment", "user"))


def test_deliveries_are_listed_and_redelivered_under_their_id(hooked: ForgeClient, receiver: Any, api_of: Any) -> None:
    receiver.all()
    api = api_of(hooked)
    receiver.status = 500
    api.rest("POST", "/repos/demo/quiet/issues/1/labels", {"labels": ["x"]})
    api.rest("POST", "/repos/demo/handbook/issues/1/labels", {"labels": ["x"]})
    hooked.settle()
    (failed,) = receiver.all()
    path = "/repos/demo/handbook/hooks/1/deliveries"
    listed = api.rest("GET", f"{path}?per_page=1").json()
    assert [(delivery["event"], delivery["status_code"], delivery["redelivery"]) for delivery in listed] == [
        ("issues", 500, False)
    ]
    receiver.status = 202
    assert api.rest("POST", f"{path}/{listed[0]['id']}/attempts").status_code == 202
    hooked.settle()
    (again,) = receiver.all()
    assert again.headers["x-github-delivery"] == failed.headers["x-github-delivery"]
    assert again.body == failed.body
    latest = api.rest("GET", path).json()[0]
    assert (latest["status"], latest["status_code"], latest["redelivery"]) == ("OK", 202, True)
    whole = api.rest("GET", f"{path}/{latest['id']}").json()
    assert whole["request"]["payload"]["action"] == "labeled"
    assert whole["response"]["payload"] == "ok"


@pytest.mark.slow
def test_a_receiver_that_is_not_there_is_recorded(serve_forge: Callable[..., ForgeClient], samples: Any) -> None:
    forge = serve_forge(webhook_url="http://127.0.0.1:1/hook")
    forge.host_repository(next(sample for sample in samples if sample.name == "quiet"))
    deliveries = forge.settle()["deliveries"]
    assert deliveries
    assert all(delivery["delivered"] and delivery["status_code"] == 0 for delivery in deliveries)
    assert all("connect" in delivery["status"] for delivery in deliveries)


def test_without_a_webhook_nothing_is_recorded_and_a_new_one_is_pinged(
    serve_forge: Any, receiver: Any, samples: Any
) -> None:
    forge = serve_forge()
    forge.host_repository(samples[0])
    assert forge.settle()["deliveries"] == []
    serve_forge.stop_all()
    forge = serve_forge(webhook_url=receiver.url)
    forge.settle()
    assert [webhook.event for webhook in receiver.all()] == ["ping"]
    serve_forge.stop_all()
    serve_forge(webhook_url=receiver.url).settle()
    assert receiver.all() == []
