"""Who reaches the pages of the board: hosts, logins, sessions, rates, and the headers of every answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from squire_pipelines.board.login import WRONG_PER_MINUTE
from squire_pipelines.home import Home
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.secrets.secret import Secret
from tests.support.boards import ADDRESS, hidden_fields, open_board
from tests.support.ledgers import new_sqlite_ledger

TOKEN = Secret("a-token-that-nobody-guesses", name="board-token")
BY_TOKEN = '[board]\nlogin = "token"\n'
BY_PROXY = (
    '[board]\nhost = "10.0.0.5"\nlogin = "proxy"\nproxies = ["10.0.0.7"]\npublic_url = "https://squire.example.com"\n'
)
PUBLIC = {"Host": "squire.example.com"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = new_sqlite_ledger(tmp_path / "home" / "ledger.sqlite")
    yield ledger
    ledger.close()


def test_a_name_that_leads_to_loopback_from_another_site_is_refused(ledger: Ledger) -> None:
    with open_board(ledger) as browser:
        for host in (
            "evil.example",
            "evil.example:8473",
            "127.0.0.1.evil.example",
            "",
            "a b",
            "localhost@evil.example",
        ):
            assert browser.get("/", headers={"Host": host}).status_code == 421, host
        for host in ("localhost:8473", "127.0.0.1:8473", "[::1]:8473"):
            assert browser.get("/", headers={"Host": host}).status_code == 200, host


def test_every_answer_has_the_strict_headers_also_errors(ledger: Ledger) -> None:
    with open_board(ledger) as browser:
        for answer in (browser.get("/"), browser.get("/none"), browser.get("/", headers={"Host": "evil.example"})):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
        cookie = browser.get("/", headers={"Cookie": ""}).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie


def test_a_form_needs_the_token_of_its_session_and_a_page_of_ours(ledger: Ledger) -> None:
    with open_board(ledger) as browser:
        fields = hidden_fields(browser.get("/").text)
        assert browser.post("/logout", data={"csrf": ""}).status_code == 403
        assert browser.post("/logout", data={"csrf": "x" * 43}).status_code == 403
        foreign = {"Origin": "http://evil.example"}
        assert browser.post("/logout", data=fields, headers=foreign).status_code == 403
        assert browser.post("/logout", data=fields, headers={"Origin": "null"}).status_code == 403
        assert browser.post("/logout", data=fields, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert browser.post("/logout", data=fields, headers={"Origin": ADDRESS}).status_code == 303
        # The session is over: its token is of no use any more.
        assert browser.post("/logout", data=fields).status_code == 403


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"csrf=" + b"x" * 300_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a%d=1" % number for number in range(60)), "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"reason=a%00b", "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 415),
    ],
)
def test_a_form_that_is_none_or_too_large_is_refused(ledger: Ledger, content: bytes, kind: str, status: int) -> None:
    with open_board(ledger) as browser:
        browser.get("/")
        assert browser.post("/logout", content=content, headers={"Content-Type": kind}).status_code == status


def test_cookies_of_other_programs_on_this_host_end_no_session(ledger: Ledger) -> None:
    with open_board(ledger) as browser:
        browser.get("/healthz")
        token = browser.get("/new").headers["set-cookie"].partition(";")[0]
        for other in ('prefs={"a":1}', "a b=1", "a[b]=1", "", "=", "only"):
            answer = browser.get("/new", headers={"Cookie": f"{other}; {token}"})
            assert "set-cookie" not in answer.headers, other


@pytest.mark.parametrize(
    "address",
    [f"/signals/{'9' * 5000}", f"/tasks/t/attempts/{'9' * 5000}/log", "/tasks/%00", "/tasks?repository=%00"],
)
def test_an_address_that_no_page_can_have_is_refused(ledger: Ledger, address: str) -> None:
    with open_board(ledger) as browser:
        assert browser.get(address).status_code == 400


def test_a_page_that_fails_has_the_strict_headers_too(ledger: Ledger) -> None:
    Home.from_environment().report.mkdir(parents=True)  # no file can be read there
    with open_board(ledger) as board:
        browser = TestClient(board.app, base_url=ADDRESS, raise_server_exceptions=False)
        answer = browser.get("/report")
    assert answer.status_code == 500
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_with_a_token_nothing_is_shown_before_the_login(ledger: Ledger) -> None:
    with open_board(ledger, settings=BY_TOKEN, token=TOKEN) as browser:
        answer = browser.get("/tasks?status=ready")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=/tasks%3Fstatus%3Dready"
        wrong = {"person": "Ada", "token": "nothing", "next": "/tasks"}
        assert browser.post("/login", data=wrong).status_code == 403
        right = wrong | {"token": TOKEN.reveal()}
        assert browser.post("/login", data=right | {"person": "<>"}).status_code == 422
        answer = browser.post("/login", data=right)
        assert (answer.status_code, answer.headers["location"]) == (303, "/tasks")
        page = browser.get("/tasks")
        assert page.status_code == 200
        assert "Ada" in page.text
        assert TOKEN.reveal() not in page.text


def test_a_session_that_has_ended_does_nothing_and_leads_back_to_the_page(ledger: Ledger) -> None:
    with open_board(ledger, settings=BY_TOKEN, token=TOKEN) as browser:
        browser.post("/login", data={"person": "Ada", "token": TOKEN.reveal()})
        fields = hidden_fields(browser.get("/new").text)
        browser.cookies.clear()  # as after `board.session_s`, and after a restart
        answer = browser.post("/tasks", data=fields | {"repository": "acme/shop", "text": "Once"})
        assert answer.status_code == 403
        assert "Your session is over." in answer.text
        assert "Nothing was done. Open the page again" in answer.text
        assert browser.get("/new").headers["location"] == "/login?next=/new"
        with ledger.read() as tx:
            assert tasks.last_event_id(tx) == 0


def test_a_login_leads_to_no_other_site(ledger: Ledger) -> None:
    with open_board(ledger, settings=BY_TOKEN, token=TOKEN) as browser:
        for target in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"):
            fields = {"person": "Ada", "token": TOKEN.reveal(), "next": target}
            assert browser.post("/login", data=fields).headers["location"] == "/"


def test_wrong_tokens_are_heard_only_so_often(ledger: Ledger) -> None:
    with open_board(ledger, settings=BY_TOKEN, token=TOKEN) as browser:
        fields = {"person": "Ada", "token": "nothing"}
        answers = [browser.post("/login", data=fields).status_code for _ in range(WRONG_PER_MINUTE + 1)]
        assert answers == [403] * WRONG_PER_MINUTE + [429]
        # Also the right one has to wait, or guessing would go on.
        assert browser.post("/login", data=fields | {"token": TOKEN.reveal()}).status_code == 429


def test_what_another_sites_page_loads_takes_nobodys_requests_or_session(ledger: Ledger) -> None:
    with open_board(ledger, settings="[board]\nrequests_per_minute = 10\nmax_sessions = 1\n") as browser:
        browser.get("/")
        for site in ["cross-site", "same-site"] * 10:
            picture = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "image", "Cookie": ""}
            answer = browser.get("/", headers=picture)
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
        answer = browser.get("/new", headers=link)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers


def test_too_many_requests_are_refused_with_the_time_to_wait(ledger: Ledger) -> None:
    with open_board(ledger, settings="[board]\nrequests_per_minute = 10\n") as browser:
        answers = [browser.get("/static/icon.svg") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [429]
        assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_proxy_that_is_believed_names_the_person_and_another_address_names_nobody(ledger: Ledger) -> None:
    named = {**PUBLIC, "X-Forwarded-User": "ada@example.com"}
    with open_board(ledger, settings=BY_PROXY, client="10.0.0.7") as browser:
        page = browser.get("/", headers=named)
        assert page.status_code == 200
        assert "ada@example.com" in page.text
        assert "; Secure" in page.headers["set-cookie"]
        assert browser.get("/", headers=PUBLIC).status_code == 403
    with open_board(ledger, settings=BY_PROXY, client="10.0.0.8") as browser:
        assert browser.get("/", headers=named).status_code == 403


def test_a_proxys_other_person_gets_a_session_of_their_own(ledger: Ledger) -> None:
    with open_board(ledger, settings=BY_PROXY, client="10.0.0.7") as browser:
        first = hidden_fields(browser.get("/", headers={**PUBLIC, "X-Forwarded-User": "ada"}).text)["csrf"]
        page = browser.get("/", headers={**PUBLIC, "X-Forwarded-User": "bob"}).text
        assert hidden_fields(page)["csrf"] != first
        assert "bob" in page
