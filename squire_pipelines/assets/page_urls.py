"""Where runs, assets and checks lead in Dagster's UI: pages of the board and of GitHub, as metadata."""

from urllib.parse import quote, urlencode

import dagster as dg

from squire_pipelines.assets.tables import escape
from squire_pipelines.sections.board import known_address
from squire_pipelines.settings.model import Settings

BOARD = "board"
GITHUB = "github"
"""The names of the links in the metadata."""


def board_url(settings: Settings, path: str, **filters: str) -> str | None:
    """Return the address of a page of the board, None where nobody has said how people reach it."""
    address = known_address(settings.board)
    if address is None:
        return None
    return f"{address.rstrip('/')}{path}" + (f"?{urlencode(filters)}" if filters else "")


def board_link(settings: Settings, path: str, **filters: str) -> dict[str, dg.MetadataValue]:
    """Return the link to a page of the board; empty where its address is not known."""
    url = board_url(settings, path, **filters)
    return {} if url is None else {BOARD: dg.MetadataValue.url(url)}


def repository_links(settings: Settings, repository: str, path: str, **filters: str) -> dict[str, dg.MetadataValue]:
    """Return the links to what the board shows of a repository, and to the repository on GitHub."""
    from squire_pipelines.github.app_manifest import web_url

    github = f"{web_url(settings.github.api_url)}/{quote(repository)}"
    shown = board_link(settings, path, **filters) if filters else board_link(settings, path, repository=repository)
    return {**shown, GITHUB: dg.MetadataValue.url(github)}


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


def _task_page(task_id: str) -> str:
    return f"/tasks/{quote(task_id, safe='')}"
