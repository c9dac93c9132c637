"""Where runs, assets and checks lead in Dagster's UI: pages of the board and of GitHub, as metadata."""

import itertools
from collections.abc import Iterable
from urllib.parse import quote, urlencode

import dagster as dg

from squire_pipelines.assets.tables import escape
from squire_pipelines.sections.board import known_address
from squire_pipelines.settings.model import Settings

BOARD = "board"
GITHUB = "github"
"""The names of the links in the metadata."""

_MAX_LINKS = 20

_PAGES = {
    "github": "/signals",
    "hooks": "/signals",
    "signals": "/signals",
    "task_plan": "/plans",
    "tasks": "/tasks",
    "pull_requests": "/tasks",
    "budgets": "/spending",
    "history": "/tasks",
    "history/alerts": "/alerts",
    "history/budgets": "/spending",
    "history/collections": "/signals",
    "history/model_calls": "/spending",
    "history/plans": "/plans",
    "history/report": "/spending",
    "history/signal_episodes": "/signals",
    "history/signal_events": "/signals",
    "history/signals": "/signals",
}
"""The board's page of an asset, by its key or the first part of it."""


def board_url(settings: Settings, path: str, **filters: str) -> str | None:
    """Return the address of a page of the board, None where nobody has said how people reach it.

    The page of signals shows all of them, where the board's own navigation leads to those that are held.
    """
    address = known_address(settings.board)
    if address is None:
        return None
    if path == "/signals":
        filters["all"] = "1"
    return f"{address.rstrip('/')}{path}" + (f"?{urlencode(filters)}" if filters else "")


def board_link(settings: Settings, path: str, **filters: str) -> dict[str, dg.MetadataValue]:
    """Return the link to a page of the board; empty where its address is not known."""
    url = board_url(settings, path, **filters)
    return {} if url is None else {BOARD: dg.MetadataValue.url(url)}


def repository_url(settings: Settings, repository: str) -> str:
    """Return where a repository is on GitHub."""
    return f"{settings.github.web_url}/{quote(repository)}"


def repository_links(settings: Settings, repository: str, path: str) -> dict[str, dg.MetadataValue]:
    """Return the links to what a page of the board shows of a repository, and to the repository on GitHub."""
    github = dg.MetadataValue.url(repository_url(settings, repository))
    return {**board_link(settings, path, repository=repository), GITHUB: github}


def asset_page(settings: Settings, key: dg.AssetKey) -> dict[str, dg.MetadataValue]:
    """Return the link to the board's page of an asset."""
    return board_link(settings, _PAGES.get("/".join(key.path)) or _PAGES[key.path[0]])


def asset_links(settings: Settings, key: dg.AssetKey) -> dict[str, dg.MetadataValue]:
    """Return where an asset's definition leads: the board's page, and the settings' repositories on GitHub, 20 at most.

    They are no part of each event: those of a repository name it, and the others would repeat the list for ever.
    """
    names = settings.repositories
    shown = _links((name, repository_url(settings, name)) for name in names[:_MAX_LINKS])
    more = [f"- and {len(names) - _MAX_LINKS} more"] if len(names) > _MAX_LINKS else []
    github = {GITHUB: dg.MetadataValue.md("\n".join([*shown, *more]))} if shown else {}
    return {**asset_page(settings, key), **github}


def task_links(settings: Settings, repository: str, task_id: str) -> dict[str, dg.MetadataValue]:
    """Return the links to a task's page on the board, and to its repository on GitHub."""
    return {**repository_links(settings, repository, "/tasks"), **board_link(settings, _task_page(task_id))}


def task_list(settings: Settings, lines: dict[str, str]) -> dg.MarkdownMetadataValue:
    """Return a list of tasks, each with its words and a link to its page on the board where that is known."""
    rows = []
    for task_id, words in lines.items():
        url = board_url(settings, _task_page(task_id))
        rows.append(f"- {f'[{escape(task_id)}]({url})' if url is not None else escape(task_id)}: {escape(words)}")
    return dg.MetadataValue.md("\n".join(rows))


def pull_request_list(settings: Settings, pulls: Iterable[tuple[str, int]]) -> dict[str, dg.MetadataValue]:
    """Return a list of pull requests on GitHub, by repository and number, 20 at most; empty for none."""
    pages = ((f"{name}#{number}", f"{repository_url(settings, name)}/pull/{number}") for name, number in pulls)
    shown = list(itertools.islice(dict.fromkeys(pages), _MAX_LINKS))
    return {"pull_requests": dg.MetadataValue.md("\n".join(_links(shown)))} if shown else {}


def _links(pages: Iterable[tuple[str, str]]) -> list[str]:
    return [f"- [{escape(words)}]({url})" for words, url in pages]


def _task_page(task_id: str) -> str:
    return f"/tasks/{quote(task_id, safe='')}"
