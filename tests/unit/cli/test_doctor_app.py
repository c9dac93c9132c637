"""What `squire doctor` says of an App whose permissions are no longer those that the settings need."""

from collections.abc import Mapping
from typing import Any

import pytest

from squire_pipelines.cli.doctor.app import check_installation, compare_app
from squire_pipelines.github.access import AppAsRegistered, Installation
from squire_pipelines.github.permissions import needs_in, needs_of_app
from squire_pipelines.settings.model import Settings

NEEDS = needs_of_app(Settings())
PAGE = "https://github.com/organizations/acme/settings/apps/acme-squire/permissions"


def about(permissions: Mapping[str, str], events: tuple[str, ...] = ()) -> AppAsRegistered:
    return AppAsRegistered(
        id=1,
        slug="acme-squire",
        page="https://github.com/apps/acme-squire",
        owner="acme",
        is_organization=True,
        permissions=permissions,
        events=events,
    )


@pytest.mark.parametrize(
    ("changed", "events", "sections", "status", "says"),
    [
        ({}, (), {}, "ok", "no others"),
        ({}, NEEDS.events, {}, "ok", "no others"),
        ({"checks": "none"}, (), {}, "fail", "lacks checks: read"),
        ({"actions": "read"}, (), {}, "warn", "lacks actions: write"),
        ({}, (), {"policy": {"workflows": "approve"}}, "warn", "lacks workflows: write"),
        ({"members": "read"}, (), {}, "warn", "more than is needed: members: read"),
        ({}, ("push",), {}, "warn", "is not sent check_run, "),
        ({}, (), {"webhooks": {"public_url": "https://hooks.acme.test"}}, "warn", "is not sent check_run, "),
    ],
)
def test_what_an_app_lacks_or_has_too_much_of_is_told_with_the_page_to_change_it(
    changed: dict[str, str], events: tuple[str, ...], sections: dict[str, Any], status: str, says: str
) -> None:
    settings = Settings.model_validate(sections)
    (result,) = compare_app(about(NEEDS.all | changed, events), settings)
    assert result.status == status
    assert says in result.message
    assert status == "ok" or PAGE in result.next_step


@pytest.mark.parametrize(
    ("changed", "status"), [({}, "ok"), ({"contents": "read"}, "fail"), ({"actions": "none"}, "warn")]
)
def test_what_the_owner_of_a_repository_has_not_accepted_is_told_with_the_installations_page(
    changed: dict[str, str], status: str
) -> None:
    page = "https://github.com/organizations/acme/settings/installations/7"
    installation = Installation(7, NEEDS.all | changed, "acme", page)
    result = check_installation("github acme/shop", installation, needs_in(Settings(), "acme/shop", of_app=True))
    assert result.status == status
    assert status == "ok" or page in result.next_step
