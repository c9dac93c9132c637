import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.outcomes import ChecksState, PullRequestState
from squire_pipelines.domain.repository_changes import InstallationChange, NamedRepository, RepositoryChange
from squire_pipelines.errors import DeliveryError
from squire_pipelines.github.events import delivered_object, parse_delivery
from tests.support.github_schemas import schema_file

SHA = "c" * 40


def pull(**fields: Any) -> dict[str, Any]:
    return {
        "number": 12,
        "html_url": "https://github.test/o/r/pull/12",
        "state": "open",
        "updated_at": "2026-11-01T12:00:00Z",
        "merged_at": None,
        "closed_at": None,
        "body": None,
        "head": {"ref": "squire/t1-x", "sha": SHA},
        **fields,
    }


def body(**fields: Any) -> bytes:
    return json.dumps({"repository": {"full_name": "o/r"}, "sender": {"login": "ada"}, **fields}).encode()


def test_opened_pull_request_is_reported() -> None:
    delivery = parse_delivery("pull_request", body(action="opened", pull_request=pull()))
    assert (delivery.repository, delivery.action, delivery.sender, delivery.relevant) == ("o/r", "opened", "ada", True)
    assert delivery.report is not None
    assert (delivery.report.number, delivery.report.state, delivery.report.checks) == (12, PullRequestState.OPEN, None)
    assert (delivery.report.head_ref, delivery.report.head_sha) == ("squire/t1-x", SHA)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"number": 2**70}, "number"),
        ({"number": 0}, "number"),
        ({"updated_at": "2026-11-01T00:00:00"}, "updated_at"),
        ({"updated_at": "9999-12-31T23:59:59-14:00"}, "updated_at"),
        ({"merged_at": "0001-01-01T00:00:00+14:00"}, "merged_at"),
    ],
)
def test_what_no_ledger_can_hold_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(DeliveryError, match=field):
        parse_delivery("pull_request", body(action="opened", pull_request=pull(**fields)))


def test_half_a_character_in_a_commits_id_is_replaced() -> None:
    head = {"ref": "squire/t1-x", "sha": "\ud800"}
    delivery = parse_delivery("pull_request", body(action="opened", pull_request=pull(head=head)))
    assert delivery.report is not None
    assert delivery.report.head_sha.encode()


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"state": "closed", "closed_at": "2026-11-02T00:00:00Z"}, PullRequestState.CLOSED),
        (
            {"state": "closed", "closed_at": "2026-11-02T00:00:00Z", "merged_at": "2026-11-02T00:00:00Z"},
            PullRequestState.MERGED,
        ),
    ],
)
@pytest.mark.parametrize("event", ["pull_request", "pull_request_review", "pull_request_review_comment"])
def test_state_of_the_pull_request_is_read(event: str, fields: dict[str, Any], state: PullRequestState) -> None:
    action = {"pull_request": "closed", "pull_request_review": "submitted"}.get(event, "created")
    delivery = parse_delivery(event, body(action=action, pull_request=pull(**fields)))
    assert delivery.report is not None
    assert delivery.report.state is state
    assert delivery.report.closed_at is not None


def test_a_push_has_its_commits_newest_first_and_a_branch_without_any_has_none() -> None:
    commits = [{"id": "a" * 40, "message": "One"}, {"id": "b" * 40, "message": "Two"}]
    push = parse_delivery("push", body(ref="refs/heads/a/b", commits=commits)).push
    assert push is not None
    assert (push.branch, push.messages) == ("a/b", (("b" * 40, "Two"), ("a" * 40, "One")))
    deleted = parse_delivery("push", body(ref="refs/heads/main")).push
    assert deleted is not None
    assert deleted.messages == ()


@pytest.mark.parametrize(
    ("text", "numbers"), [("Reverts o/r#9", (9,)), ("> Reverts #9", None), ("Reverts other/repo#9", None), (None, None)]
)
def test_merged_pull_request_that_reverts_another_names_it(text: str | None, numbers: tuple[int, ...] | None) -> None:
    merged = pull(state="closed", merged_at="2026-11-02T00:00:00Z", body=text, base={"ref": "main"})
    reverts = parse_delivery("pull_request", body(action="closed", pull_request=merged)).reverts
    assert (reverts and (reverts.base_branch, reverts.numbers)) == (numbers and ("main", numbers))
    for action, delivered in (("labeled", merged), ("opened", pull(body=text))):
        assert parse_delivery("pull_request", body(action=action, pull_request=delivered)).reverts is None


@pytest.mark.parametrize(
    ("conclusion", "state"),
    [
        ("success", ChecksState.PASSED),
        ("neutral", ChecksState.PASSED),
        ("failure", ChecksState.FAILED),
        ("timed_out", ChecksState.FAILED),
        ("cancelled", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("event", ["check_run", "check_suite", "workflow_run"])
def test_completed_checks_tell_their_head_and_pull_requests(
    event: str, conclusion: str | None, state: ChecksState | None
) -> None:
    check = {"head_sha": SHA, "conclusion": conclusion, "pull_requests": [{"number": 12}]}
    delivery = parse_delivery(event, body(action="completed", **{event: check}))
    assert delivery.relevant
    assert (delivery.checks.state if delivery.checks else None) is state
    if delivery.checks:
        assert (delivery.checks.head_sha, delivery.checks.pull_requests) == (SHA, (12,))


@pytest.mark.parametrize(
    ("state", "checks"),
    [
        ("failure", ChecksState.FAILED),
        ("error", ChecksState.FAILED),
        ("success", ChecksState.PASSED),
        ("pending", None),
    ],
)
def test_commit_status_tells_its_state(state: str, checks: ChecksState | None) -> None:
    delivery = parse_delivery("status", body(sha=SHA, state=state))
    assert (delivery.checks.state if delivery.checks else None) is checks


@pytest.mark.parametrize(
    ("event", "fields", "relevant"),
    [
        ("push", {"ref": "refs/heads/main"}, True),
        ("push", {"ref": "refs/tags/v1"}, False),
        ("issues", {"action": "labeled"}, True),
        ("issues", {"action": "pinned"}, False),
        ("issue_comment", {"action": "created"}, True),
        ("check_run", {"action": "created"}, False),
        ("pull_request", {"action": "assigned"}, False),
        ("ping", {"zen": "Design for failure."}, True),
        ("member", {"action": "removed"}, True),
        ("installation", {"action": "opened"}, False),
        ("star", {"action": "created"}, False),
        ("no_such_event", {}, False),
    ],
)
def test_only_what_can_change_signals_or_outcomes_is_relevant(
    event: str, fields: dict[str, Any], *, relevant: bool
) -> None:
    delivery = parse_delivery(event, body(**fields))
    assert delivery.relevant is relevant
    assert delivery.repository == "o/r"


def test_delivery_without_a_repository_is_not_relevant() -> None:
    delivery = parse_delivery("issues", json.dumps({"action": "opened"}).encode())
    assert (delivery.repository, delivery.relevant, delivery.sender) == (None, False, None)


@pytest.mark.parametrize(
    ("event", "action", "of_account", "collects"),
    [
        ("ping", None, True, False),
        ("installation", "suspend", True, False),
        ("organization", "member_removed", True, False),
        ("member", "added", False, False),
        ("team_add", None, False, False),
        ("repository", "archived", False, True),
        ("issues", "opened", False, True),
    ],
)
def test_what_is_about_an_account_or_about_people_has_no_repository_read(
    event: str, action: str | None, *, of_account: bool, collects: bool
) -> None:
    delivery = parse_delivery(event, body(action=action, installation={"account": {"login": "ada"}}))
    assert (delivery.relevant, delivery.of_account, delivery.collects) == (True, of_account, collects)


def test_what_happens_to_a_repository_is_told_with_its_id_its_new_name_and_by_whom() -> None:
    repository = {"id": 7, "full_name": "o/new", "archived": True}
    delivered = parse_delivery("repository", body(action="renamed", repository=repository), known_as="o/r")
    assert delivered.repository == "o/r"
    assert delivered.change == RepositoryChange("renamed", 7, "o/new", archived=True, by="ada")


def test_an_installation_tells_which_repositories_it_shows_and_which_no_longer() -> None:
    account = {"account": {"login": "o", "type": "Organization"}}
    removed = [{"id": 3, "name": "r", "full_name": "o/r", "private": True}]
    delivered = parse_delivery(
        "installation_repositories",
        body(action="removed", installation=account, repositories_added=[], repositories_removed=removed),
    )
    change = InstallationChange("removed", "o", removed=(NamedRepository(3, "o/r"),), by="ada")
    assert delivered.installation == change
    assert parse_delivery("installation_repositories", body(action="removed", installation={})).installation is None


def test_a_label_that_is_set_on_an_issue_is_told() -> None:
    label = parse_delivery(
        "issues", body(action="labeled", issue={"number": 3}, label={"name": "squire:approve"})
    ).label
    assert label is not None
    assert (label.number, label.name) == (3, "squire:approve")
    assert parse_delivery("issues", body(action="opened", issue={"number": 3})).label is None


def test_form_encoded_delivery_is_read() -> None:
    form = urlencode({"payload": body(ref="refs/heads/main").decode()}).encode()
    assert parse_delivery("push", form).relevant


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b'"text"', b"payload=", b"payload=%7B", b"nan"]
)
def test_body_that_is_no_json_object_is_a_named_error(raw: bytes) -> None:
    with pytest.raises(DeliveryError, match="JSON"):
        parse_delivery("push", raw)


def test_known_event_without_its_object_names_the_field() -> None:
    with pytest.raises(DeliveryError, match="pull_request: Field required"):
        parse_delivery("pull_request", body(action="opened"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["action", "repository", "sender", "ref", "pull_request", "check_run", "sha", "state"])


@given(
    st.sampled_from(["push", "pull_request", "check_run", "status", "issues", "ping", "other"]),
    st.dictionaries(keys, json_values | st.just({"full_name": "o/r"}) | st.just("completed"), max_size=6),
)
def test_any_json_object_is_parsed_or_refused_by_name(event: str, content: dict[str, Any]) -> None:
    try:
        delivery = parse_delivery(event, json.dumps(content).encode())
    except DeliveryError as error:
        assert error.context  # noqa: PT017 - both ways are right
    else:
        assert delivery.event == event


def test_every_example_payload_of_github_is_parsed() -> None:
    content = json.loads(schema_file("webhooks-examples/api.github.com/index.json").read_bytes())
    examples = [(entry["name"], example) for entry in content for example in entry["examples"]]
    assert len(examples) > 300
    relevant: set[str] = set()
    for name, example in examples:
        delivery = parse_delivery(name, json.dumps(example).encode())
        expected = example.get("repository")
        assert delivery.repository == (expected["full_name"] if expected else None)
        assert delivery.action == example.get("action")
        if delivery.relevant:
            relevant.add(name)
            assert (delivery.report is not None) == name.startswith("pull_request")
    assert {"pull_request", "pull_request_review", "issues", "issue_comment", "check_run", "check_suite", "push"} <= (
        relevant
    )


def test_a_delivery_under_a_new_name_is_about_the_repository_as_we_know_it() -> None:
    content = {
        "action": "opened",
        "repository": {"id": 42, "full_name": "new-owner/store"},
        "pull_request": {
            "number": 3,
            "html_url": "u",
            "state": "open",
            "updated_at": "2026-11-01T12:00:00Z",
            "head": {"ref": "squire/x", "sha": "a" * 40},
        },
    }
    body = json.dumps(content).encode()
    parsed = parse_delivery("pull_request", body, known_as="acme/shop")
    assert (parsed.repository, parsed.repository_id) == ("acme/shop", 42)
    assert parsed.report
    assert parsed.report.repository == "acme/shop"
    assert parse_delivery("pull_request", body).repository == "new-owner/store"


@pytest.mark.parametrize("action", ["renamed", "transferred", "archived", "privatized", "deleted"])
def test_what_becomes_of_a_repository_asks_for_a_look(action: str) -> None:
    body = json.dumps({"action": action, "repository": {"id": 42, "full_name": "o/r"}}).encode()
    assert parse_delivery("repository", body).relevant


@pytest.mark.parametrize(
    "text",
    [
        '{"half of a pair": "\\ud800"}',
        '{"deep": ' + "[" * 300 + "]" * 300 + "}",
        '{"twice": 1, "twice": {"b": NaN}}',
        ' {"long": %s, "beyond": 1e999, "text": "\\u0000é\x7f"} ' % ("9" * 4000),
    ],
)
def test_a_body_is_the_same_by_whichever_parser_it_is_read(text: str) -> None:
    assert repr(delivered_object(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}x", '{"a": 1,}', '{"a": 01}', '{"a": "\t"}', "\ufeff{}", '{"a": %s}' % ("9" * 5000), "[" * 60_000],
)
def test_what_is_no_object_of_json_is_refused_by_both_parsers(text: str) -> None:
    with pytest.raises(DeliveryError):
        delivered_object(text.encode())
