"""The page on this machine, and the exchange of a code with the forge: what is refused, and what is tried again."""

import socket
from collections.abc import Callable

import httpx
import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import (
    ConfigError,
    GitHubNotFoundError,
    GitHubUnavailableError,
    NotReachableError,
    PortInUseError,
    RefusedError,
)
from squire_pipelines.github.app_page import HOST, MAX_WRONG_ANSWERS, AppPage, BrowserReply
from squire_pipelines.github.app_registration import MAX_PASTED, exchange_code, wait_for_code
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.services import GitHubSettings
from tests.support.provider import plain, serve_upstream

CODE = Secret("0123456789abcdef")


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, timeout=20, trust_env=False)


def wait(page: AppPage, lines: list[str], *, seconds: float = 0.0) -> str:
    deadline = Deadline.after(seconds or 20)
    reader: Callable[[], str | None] = lambda: lines.pop(0) if lines else None  # noqa: E731 - it is shorter so
    return wait_for_code(page, deadline, read_line=reader, tell=lambda _: None).code.reveal()


def test_only_an_answer_with_our_state_is_taken_and_only_once() -> None:
    with AppPage() as page:
        page.show("<p>the form</p>")
        shown = get(page.url)
        assert shown.text == "<p>the form</p>"
        assert shown.headers["cache-control"] == "no-store"
        address = f"{page.redirect_url}?code=abc&state="
        assert [get(url).status_code for url in (address, f"{address}x", f"http://{HOST}:{page.port}/")] == [
            400,
            400,
            404,
        ]
        assert get(page.url, Host=f"evil.test:{page.port}").status_code == 403
        assert page.take_answer(0) is None
        soon = httpx.Timeout(20, read=0.2)
        with pytest.raises(httpx.ReadTimeout):  # it waits for what becomes of the App
            httpx.get(f"{address}{page.state}", timeout=soon, trust_env=False)
        answer = page.take_answer(20)
        assert answer
        assert answer.code.reveal() == "abc"
        answer.reply(BrowserReply("", location="https://github.test/apps/a/installations/new"))
        answer.reply(BrowserReply("too late"))
        assert answer.wait_for_reply().location
        assert get(f"{address}{page.state}").status_code == 410
    with pytest.raises(httpx.ConnectError):
        get(page.url)


def test_many_wrong_answers_end_the_wait_and_none_ends_it_too() -> None:
    with AppPage() as page:
        with pytest.raises(NotReachableError, match="nobody came back"):
            wait(page, [], seconds=0.3)
        with pytest.raises(ConfigError, match="no code"):
            wait(page, ["what?"] * (MAX_PASTED + 1))
        assert wait(page, ["what?", "\n", f"code=abc&state={page.state}"]) == "abc"
        for _ in range(MAX_WRONG_ANSWERS):
            get(f"{page.redirect_url}?code=abc&state=x")
        with pytest.raises(RefusedError, match="do not belong to this command"):
            wait(page, [])


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server((HOST, 0)) as taken, pytest.raises(PortInUseError, match="--port"):
        AppPage(taken.getsockname()[1])


def test_a_code_is_sent_once_more_only_where_it_was_not_sent(forge: ForgeProcess) -> None:
    github = GitHubSettings(api_url=forge.api_url)
    forge.add_fault("POST .*/app-manifests/", status=502)
    pauses: list[float] = []
    with pytest.raises(GitHubUnavailableError, match="Squire has no key of it"):
        exchange_code(github, CODE, organization=None, pause=pauses.append)
    with pytest.raises(GitHubNotFoundError, match="older than an hour, or was used") as caught:
        exchange_code(github, CODE, organization="acme", pause=pauses.append)
    assert f"{forge.url}/organizations/acme/settings/apps" in caught.value.hint
    assert CODE.reveal() not in f"{caught.value}{caught.value.context}"
    assert pauses == []
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(GitHubUnavailableError, match="Squire has no key of it"):
        exchange_code(
            GitHubSettings(api_url=f"http://{HOST}:{port}/api/v3"), CODE, organization=None, pause=pauses.append
        )
    assert len(pauses) == 2


def test_an_answer_without_an_end_is_no_app() -> None:
    with serve_upstream() as upstream:
        upstream.answer = plain(201, {"pem": "x" * 2_000_000})
        with pytest.raises(GitHubUnavailableError, match="Squire has no key of it"):
            exchange_code(GitHubSettings(api_url=upstream.url), CODE, organization=None)
