"""The rules that say which deliveries ask for nothing."""

from dataclasses import replace

import pytest

from squire_pipelines.domain.delivery_filters import (
    OWN_RULE,
    DeliveryFacts,
    DeliveryRule,
    OwnAccount,
    asks_for_reading,
    rule_for,
)

APP = OwnAccount("acme-squire[bot]", "squire/")
TOKEN = OwnAccount(None, "squire/")
PULL = DeliveryFacts(
    "pull_request",
    action="labeled",
    repository="acme/shop",
    sender="renovate[bot]",
    is_bot=True,
    branches=("renovate/all", "main"),
    labels=("area/docs", "wip"),
)
PUSH = DeliveryFacts(
    "push", repository="acme/shop", sender="ann", is_bot=False, branches=("main",), paths=("docs/a.md",)
)
UNKNOWN = DeliveryFacts("pull_request")


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        ({"repositories": ("acme/*",)}, PULL),
        ({"repositories": ("other/*", "Acme/Shop")}, PULL),
        ({"senders": ("renovate",)}, PULL),
        ({"senders": ("renovate[bot]",)}, PULL),
        ({"bots": True}, PULL),
        ({"bots": False}, PUSH),
        ({"events": ("pull_request*",)}, PULL),
        ({"actions": ("labeled", "unlabeled")}, PULL),
        ({"branches": ("renovate/**",)}, PULL),
        ({"branches": ("main",)}, PULL),
        ({"labels": ("WIP",)}, PULL),
        ({"labels": ("area/*",)}, PULL),
        ({"paths": ("docs/**",)}, PUSH),
        ({"bots": True, "events": ("pull_request",), "labels": ("wip",)}, PULL),
    ],
)
def test_a_rule_matches_when_all_that_it_names_does(rule: dict[str, object], facts: DeliveryFacts) -> None:
    assert rule_for(facts, [DeliveryRule("r", **rule)], TOKEN) == "r"  # type: ignore[arg-type]  # of many types


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        ({"repositories": ("acme",)}, PULL),
        ({"senders": ("renovate", "dependabot")}, PUSH),
        ({"senders": ("ann[bot]",)}, PUSH),
        ({"bots": False}, PULL),
        ({"actions": ("opened",)}, PULL),
        ({"branches": ("renovate",)}, PULL),
        ({"bots": True, "labels": ("done",)}, PULL),
        ({"paths": ("docs/**",)}, replace(PUSH, paths=("docs/a.md", "src/a.py"))),
        *(
            ({name: value}, UNKNOWN)
            for name, value in {
                "repositories": ("**",),
                "senders": ("*",),
                "bots": False,
                "actions": ("*",),
                "branches": ("**",),
                "paths": ("**",),
                "labels": ("**",),
            }.items()
        ),
    ],
)
def test_a_rule_does_not_match_what_is_otherwise_or_not_known(rule: dict[str, object], facts: DeliveryFacts) -> None:
    assert rule_for(facts, [DeliveryRule("r", **rule)], TOKEN) is None  # type: ignore[arg-type]  # of many types


def test_the_first_rule_that_matches_counts_and_one_that_keeps_lets_through() -> None:
    keep = DeliveryRule("wip", keep=True, labels=("wip",))
    drop = DeliveryRule("no-bots", bots=True)
    later = DeliveryRule("later", bots=True)
    assert rule_for(PULL, [keep, drop], TOKEN) is None
    assert rule_for(PULL, [drop, keep], TOKEN) == "no-bots"
    assert rule_for(PULL, [drop, later], TOKEN) == "no-bots"
    assert rule_for(replace(PULL, labels=()), [keep, drop], TOKEN) == "no-bots"


def test_a_rule_that_keeps_needs_one_path_alone() -> None:
    push = replace(PUSH, paths=("docs/a.md", "src/a.py"))
    rules = [DeliveryRule("sources", keep=True, paths=("src/**",)), DeliveryRule("pushes", events=("push",))]
    assert rule_for(push, rules, TOKEN) is None
    assert rule_for(PUSH, rules, TOKEN) == "pushes"


@pytest.mark.parametrize(
    ("facts", "own", "is_own"),
    [
        (DeliveryFacts("issue_comment", "created", sender="acme-squire[bot]"), APP, True),
        (DeliveryFacts("pull_request_review_comment", "created", sender="Acme-Squire[bot]"), APP, True),
        (DeliveryFacts("issue_comment", "created", sender="ann", is_marked=True), APP, False),
        (DeliveryFacts("issue_comment", "created", sender="ann", is_marked=True), TOKEN, True),
        (DeliveryFacts("issue_comment", "created", sender="ann"), TOKEN, False),
        (DeliveryFacts("check_suite", "completed", app="acme-squire", sender="ann"), APP, True),
        (DeliveryFacts("check_suite", "completed", app="github-actions", sender="acme-squire[bot]"), APP, False),
        (DeliveryFacts("check_suite", "completed"), TOKEN, False),
        (
            DeliveryFacts("pull_request", "labeled", sender="acme-squire[bot]", branches=("squire/t1", "main")),
            APP,
            True,
        ),
        (DeliveryFacts("pull_request", "labeled", sender="ann", branches=("squire/t1", "main")), APP, False),
        (DeliveryFacts("pull_request", "labeled", sender="acme-squire[bot]", branches=("theirs", "main")), APP, False),
        # What may become of a pull request is never filtered as our own.
        *(
            (
                DeliveryFacts("pull_request", action, sender="acme-squire[bot]", branches=("squire/t1", "main")),
                APP,
                False,
            )
            for action in ("opened", "reopened", "closed", "synchronize", "ready_for_review")
        ),
        (DeliveryFacts("push", sender="acme-squire[bot]", branches=("main",)), APP, False),
        (DeliveryFacts("push", sender="acme-squire[bot]", branches=("squire/t1",)), APP, False),
    ],
)
def test_the_echo_of_our_own_writing_asks_for_nothing_whatever_rules_there_are(
    facts: DeliveryFacts, own: OwnAccount, *, is_own: bool
) -> None:
    keep = DeliveryRule("all", keep=True, events=("**",))
    assert (rule_for(facts, [keep], own) == OWN_RULE) is is_own


@pytest.mark.parametrize(
    ("facts", "own", "asks"),
    [
        (DeliveryFacts("push", sender="acme-squire[bot]", branches=("squire/t1",)), APP, False),
        (DeliveryFacts("push", sender="ann", branches=("squire/t1",)), TOKEN, False),
        (DeliveryFacts("push", sender="acme-squire[bot]", branches=("main",)), APP, True),
        (DeliveryFacts("pull_request", "synchronize", sender="acme-squire[bot]", branches=("squire/t1",)), APP, False),
        (DeliveryFacts("pull_request", "synchronize", sender="ann", branches=("squire/t1", "main")), APP, True),
        (DeliveryFacts("pull_request", "synchronize", sender="ann", branches=("squire/t1", "main")), TOKEN, True),
        (DeliveryFacts("check_suite", "completed", sender="ann", branches=("squire/t1",)), APP, True),
        (DeliveryFacts("issues", "opened", sender="acme-squire[bot]"), APP, True),
    ],
)
def test_nothing_is_read_for_what_we_did_to_our_own_branches(
    facts: DeliveryFacts, own: OwnAccount, *, asks: bool
) -> None:
    assert asks_for_reading(facts, own) is asks


SENTRY = DeliveryFacts("metric_alert", source="sentry")


@pytest.mark.parametrize(
    ("rule", "facts", "is_filtered"),
    [
        ({"sources": ("sentry",)}, SENTRY, True),
        ({"sources": ("sen*",), "events": ("metric_*",)}, SENTRY, True),
        ({"sources": ("sentry",), "events": ("issue",)}, SENTRY, False),
        ({"sources": ("deploys",)}, SENTRY, False),
        ({"events": ("metric_alert",)}, SENTRY, False),
        ({"sources": ("sentry",)}, PUSH, False),
        ({"sources": ("github", "sentry"), "events": ("push",)}, PUSH, True),
    ],
)
def test_a_rule_is_about_github_unless_it_names_other_senders(
    rule: dict[str, tuple[str, ...]], facts: DeliveryFacts, *, is_filtered: bool
) -> None:
    assert (rule_for(facts, [DeliveryRule("r", **rule)], TOKEN) == "r") is is_filtered  # type: ignore[arg-type]  # of many types


def test_what_another_sender_calls_as_github_does_is_never_taken_for_our_own() -> None:
    facts = DeliveryFacts("issue_comment", source="deploys", sender="acme-squire[bot]", is_marked=True)
    assert rule_for(facts, [], APP) is None
    assert rule_for(facts, [], TOKEN) is None
