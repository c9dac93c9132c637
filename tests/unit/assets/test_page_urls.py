"""Links of assets and runs lead to pages that the board and GitHub have."""

from typing import cast

import dagster as dg
import pytest

from squire_pipelines.assets.page_urls import (
    asset_links,
    asset_page,
    board_url,
    pull_request_list,
    repository_links,
    repository_url,
)
from squire_pipelines.board.pages import BoardPages
from squire_pipelines.board.readings import BoardReadings
from squire_pipelines.board.rendering import PageWriter
from squire_pipelines.definitions import build_defs
from squire_pipelines.settings.model import Settings

ACME = Settings.model_validate({"repositories": ["acme/api"], "board": {"public_url": "https://squire.example.com/b/"}})
HIDDEN = Settings.model_validate({"repositories": ["acme/api"], "board": {"port": 0}})
ENTERPRISE = Settings.model_validate({"github": {"api_url": "https://ghe.example/api/v3"}})


def test_every_asset_leads_to_a_page_that_the_board_has() -> None:
    pages = BoardPages(cast("BoardReadings", None), cast("PageWriter", None))
    paths = {route.path for route in pages.routes()}
    keys = build_defs(ACME).resolve_asset_graph().get_all_asset_keys()
    links = {key: str(asset_page(ACME, key)["board"].value) for key in keys}
    assert {link.removeprefix("https://squire.example.com/b").partition("?")[0] for link in links.values()} <= paths
    assert links[dg.AssetKey(["history", "model_calls"])].endswith("/spending")
    assert links[dg.AssetKey(["history", "outcomes"])].endswith("/tasks")


def test_signals_are_shown_whether_or_not_they_are_held() -> None:
    assert board_url(ACME, "/signals", repository="acme/api") == (
        "https://squire.example.com/b/signals?repository=acme%2Fapi&all=1"
    )


def test_where_the_board_is_not_known_the_link_to_github_is_left() -> None:
    assert {name: value.value for name, value in repository_links(HIDDEN, "acme/api", "/tasks").items()} == {
        "github": "https://github.com/acme/api"
    }
    assert set(asset_links(HIDDEN, dg.AssetKey(["tasks"]))) == {"github"}


def test_pages_are_those_of_an_own_github() -> None:
    assert repository_url(ENTERPRISE, "acme/api") == "https://ghe.example/acme/api"
    shown = pull_request_list(ENTERPRISE, [("acme/api", 7), ("acme/api", 7)])
    assert shown["pull_requests"].value == "- [acme/api\\#7](https://ghe.example/acme/api/pull/7)"
    assert pull_request_list(ENTERPRISE, []) == {}


@pytest.mark.parametrize(("count", "lines", "last"), [(20, 20, "r-19"), (23, 21, "- and 3 more")])
def test_a_definition_names_twenty_repositories_at_most(count: int, lines: int, last: str) -> None:
    settings = Settings(repositories=tuple(f"acme/r-{number}" for number in range(count)))
    text = str(asset_links(settings, dg.AssetKey(["tasks"]))["github"].value).splitlines()
    assert len(text) == lines
    assert last in text[-1]
