"""The forge's web pages. They are read-only, have no script, and escape every text; `page_text` renders Markdown."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from html import escape
from importlib import resources

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from squire_forge import store, store_checks
from squire_forge.git import MAX_DIFF_CHARACTERS
from squire_forge.graph_repositories import pull_state
from squire_forge.page_text import rendered
from squire_forge.records import Comment, Pull, Repository, Suite, ThreadComment, Ticket
from squire_forge.world import View, World

SECURITY = {
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
Page = Callable[[View, Request], str | None]


class Pages:
    """The web pages over one world. They leave private repositories out."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return all routes."""
        table: list[tuple[str, Page]] = [
            ("/", _index),
            ("/{owner}/{repo}", _repository_page),
            ("/{owner}/{repo}/pull/{number:int}", _pull_page),
            ("/{owner}/{repo}/issues/{number:int}", _issue_page),
            ("/{owner}/{repo}/runs/{run:int}", _run_page),
        ]
        return [
            Route("/_style.css", _style, methods=["GET"]),
            *(Route(path, self._endpoint(page), methods=["GET"]) for path, page in table),
        ]

    def _endpoint(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            html = await run_in_threadpool(self._render, page, request)
            if html is None:
                return HTMLResponse(frame("Not found", "<h1>Not found</h1>"), 404, headers=SECURITY)
            return HTMLResponse(html, headers=SECURITY)

        return endpoint

    def _render(self, page: Page, request: Request) -> str | None:
        with self._world.database.reading() as con:
            return page(View(self._world, con), request)


async def _style(_: Request) -> Response:
    css = resources.files(__package__).joinpath("pages.css").read_text(encoding="utf-8")
    return PlainTextResponse(css, media_type="text/css", headers={"x-content-type-options": "nosniff"})


def frame(title: str, content: str) -> str:
    """Return a whole page; the content is HTML, in which every text is escaped."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/_style.css"></head><body>'
        '<header><div><a href="/"><strong>Squire forge</strong></a>'
        "<small>a stand-in for GitHub on this machine</small></div></header>"
        f"<main>{content}</main></body></html>"
    )


def _badge(state: str) -> str:
    return f'<span class="badge {escape(state)}">{escape(state.capitalize())}</span>'


def _list(items: Iterable[str], empty: str) -> str:
    rows = "".join(f"<li>{item}</li>" for item in items)
    return f'<ul class="list">{rows}</ul>' if rows else f'<p class="empty">{escape(empty)}</p>'


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _labels(view: View, ticket: Ticket) -> str:
    return " ".join(f'<span class="label">{escape(label.name)}</span>' for label in store.labels(view.con, ticket.id))


def _panel(heading: str, text: str) -> str:
    shown = rendered(text) if text.strip() else '<p class="empty">No description.</p>'
    return f'<div class="panel"><p>{heading}</p><div class="text">{shown}</div></div>'


def _comment_panel(comment: Comment | ThreadComment, where: str = "") -> str:
    return _panel(f"<strong>{escape(comment.author.login)}</strong>{where} · {comment.created_at}", comment.body)


def _find(view: View, request: Request) -> Repository | None:
    repository = store.find_repository(view.con, request.path_params["owner"], request.path_params["repo"])
    return None if repository is None or repository.private else repository


def _index(view: View, _: Request) -> str:
    items = []
    for repository in store.repositories(view.con):
        if repository.private:
            continue
        opened = store.pulls(view.con, repository, state="open")
        issues = [issue for issue in store.issues(view.con, repository) if issue.state == "open"]
        tip = store.branches(view.con, repository.id).get(repository.default_branch, "")
        suite = store_checks.suite(view.con, repository, tip)
        items.append(
            f'<a href="/{escape(repository.full_name)}"><strong>{escape(repository.full_name)}</strong></a> '
            f"{_badge(suite.conclusion) if suite else ''}<br>"
            f"<small>{escape(repository.description or '')} {_counted(len(opened), 'open pull request')}, "
            f"{_counted(len(issues), 'open issue')}</small>"
        )
    return frame("Repositories", f"<h1>Repositories</h1>{_list(items, 'The forge hosts no repository yet.')}")


def _pull_badge(pull: Pull) -> str:
    """Return the state that people see: a draft is one as long as it is open."""
    return "draft" if pull.draft and pull.state == "open" else pull_state(pull).lower()


def _head_checks(view: View, pull: Pull) -> str:
    """Return the checks and the newest statuses of a pull request's head."""
    statuses = store_checks.statuses(view.con, pull.repository, pull.head_sha)
    newest = {status.context: status for status in statuses}.values()
    return " ".join(
        (
            _checks(view, store_checks.suite(view.con, pull.repository, pull.head_sha)),
            *(
                f"{escape(it.context)} {_badge(it.state)} <small>{escape(it.description or '')}</small>"
                for it in newest
            ),
        )
    ).strip()


def _ticket_item(view: View, ticket: Ticket) -> str:
    kind, state, checks = "issues", ticket.state, ""
    if isinstance(ticket, Pull):
        kind, state = "pull", _pull_badge(ticket)
        checks = _head_checks(view, ticket)
    link = f"/{escape(ticket.repository.full_name)}/{kind}/{ticket.number}"
    return (
        f'{_badge(state)} <a href="{link}">{escape(ticket.title)}</a> {_labels(view, ticket)}<br>'
        f"<small>#{ticket.number} by {escape(ticket.author.login)}, {ticket.created_at}</small> {checks}"
    )


def _repository_page(view: View, request: Request) -> str | None:
    repository = _find(view, request)
    if repository is None:
        return None
    branches = store.branches(view.con, repository.id)
    items = []
    for name, sha in branches.items():
        suite = store_checks.suite(view.con, repository, sha)
        mark = " <small>default</small>" if name == repository.default_branch else ""
        items.append(f"<code>{escape(name)}</code>{mark} <small>{sha[:12]}</small> {_checks(view, suite)}")
    pulls = [_ticket_item(view, pull) for pull in reversed(store.pulls(view.con, repository))]
    issues = [_ticket_item(view, issue) for issue in reversed(store.issues(view.con, repository))]
    clone = f"{view.world.config.web_url}/{repository.full_name}.git"
    content = (
        f'<h1>{escape(repository.full_name)}</h1><p class="meta">{escape(repository.description or "")}</p>'
        f"<p><code>git clone {escape(clone)}</code></p>"
        f"<h2>Pull requests</h2>{_list(pulls, 'None.')}<h2>Issues</h2>{_list(issues, 'None.')}"
        f"<h2>Branches</h2>{_list(items, 'None.')}"
    )
    return frame(repository.full_name, content)


def _checks(view: View, suite: Suite | None) -> str:
    if suite is None:
        return ""
    page = f"/{escape(suite.repository.full_name)}/runs"
    runs = store_checks.check_runs(view.con, suite)
    return " ".join(f'<a href="{page}/{run.id}">{escape(run.name)}</a> {_badge(run.conclusion)}' for run in runs)


def _heading(view: View, ticket: Ticket, state: str, line: str) -> str:
    full_name = escape(ticket.repository.full_name)
    return (
        f'<p><a href="/{full_name}">{full_name}</a></p>'
        f'<h1>{escape(ticket.title)} <span class="number">#{ticket.number}</span></h1>'
        f'<p class="meta">{_badge(state)} {line} {_labels(view, ticket)}</p>'
    )


def _diff(text: str) -> str:
    def kind(line: str) -> str:
        if line.startswith(("diff --git", "+++", "---", "index ", "new file", "deleted file", "similarity", "rename")):
            return "f"
        return {"+": "a", "-": "d", "@": "h"}.get(line[:1], "c")

    # Lines as git has them: other separators are part of a line.
    lines = text.removesuffix("\n").split("\n")
    return "".join(f'<span class="{kind(line)}">{escape(line) or " "}</span>' for line in lines)


def _pull_page(view: View, request: Request) -> str | None:
    repository = _find(view, request)
    pull = store.pull(view.con, repository, request.path_params["number"]) if repository else None
    if repository is None or pull is None:
        return None
    git = view.git(repository)
    stat = git.diff_stat(pull.base_sha, pull.head_sha)
    verb = "wants to merge" if pull.state == "open" else "wanted to merge"
    merged = f" · merged {pull.merged_at} as <code>{escape(pull.merge_sha or '')[:12]}</code>" if pull.merged else ""
    line = (
        f"<strong>{escape(pull.author.login)}</strong> {verb} <code>{escape(pull.head_ref)}</code> into "
        f"<code>{escape(pull.base_ref)}</code> · +{stat.additions} -{stat.deletions} "
        f"in {_counted(stat.files, 'file')}{merged}"
    )
    checks = _head_checks(view, pull)
    threads: Sequence[str] = [
        _comment_panel(
            comment,
            f" on <code>{escape(thread.path)}:{thread.line}</code>{_thread_state(thread.resolved, thread.outdated)}",
        )
        for thread in store.threads(view.con, pull)
        for comment in store.thread_comments(view.con, thread)
    ]
    comments = [_comment_panel(comment) for comment in store.comments(view.con, pull)]
    diff, is_cut = git.diff(pull.base_sha, pull.head_sha)
    cut = f"<p>Only the first {MAX_DIFF_CHARACTERS:,} characters are shown.</p>" if is_cut else ""
    content = (
        _heading(view, pull, _pull_badge(pull), line)
        + _panel(f"<strong>{escape(pull.author.login)}</strong> · {pull.created_at}", pull.body)
        + (f"<h2>Checks</h2><p>{checks}</p>" if checks else "")
        + (f"<h2>Review</h2>{''.join(threads)}" if threads else "")
        + (f"<h2>Comments</h2>{''.join(comments)}" if comments else "")
        + f'<h2 id="changes">Changes</h2><div class="panel">{cut}'
        + f'<pre class="diff" tabindex="0" role="region" aria-labelledby="changes">{_diff(diff)}</pre></div>'
    )
    return frame(f"{pull.title} · {repository.full_name}#{pull.number}", content)


def _thread_state(resolved: bool, outdated: bool) -> str:  # noqa: FBT001 - two columns of one row
    return (" · resolved" if resolved else "") + (" · outdated" if outdated else "")


def _issue_page(view: View, request: Request) -> str | None:
    repository = _find(view, request)
    issue = store.ticket(view.con, repository, request.path_params["number"]) if repository else None
    if repository is None or issue is None or isinstance(issue, Pull):
        return None
    comments = [_comment_panel(comment) for comment in store.comments(view.con, issue)]
    content = (
        _heading(view, issue, issue.state, f"opened by <strong>{escape(issue.author.login)}</strong>")
        + _panel(f"<strong>{escape(issue.author.login)}</strong> · {issue.created_at}", issue.body)
        + "".join(comments)
    )
    return frame(f"{issue.title} · {repository.full_name}#{issue.number}", content)


def _run_page(view: View, request: Request) -> str | None:
    repository = _find(view, request)
    run = store_checks.check_run(view.con, repository, request.path_params["run"]) if repository else None
    if repository is None or run is None:
        return None
    content = (
        f'<p><a href="/{escape(repository.full_name)}">{escape(repository.full_name)}</a></p>'
        f'<h1>{escape(run.name)}</h1><p class="meta">{_badge(run.conclusion)} on <code>{run.suite.sha[:12]}</code> '
        f"{escape(run.title)}</p>{_panel(escape(run.summary), run.text or 'Everything is as expected.')}"
    )
    return frame(f"{run.name} · {repository.full_name}", content)
