"""A tenant's login sees and changes its own work alone, on every route; an operator sees all."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from starlette.routing import Route
from starlette.testclient import TestClient

from squire_pipelines.home import Home
from squire_pipelines.ledger import alerts
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.secrets.secret import Secret
from tests.support.boards import hidden_fields, open_board
from tests.support.cli import SampleData
from tests.support.tenants import SETTINGS, WORDS, TenantWork, fill

TOKENS = {None: Secret("whole-house-5k2"), "acme": Secret("acmes-login-7q4"), "beta": Secret("betas-login-9w1")}
BY_TOKEN = f'{SETTINGS}[board]\nlogin = "token"\n'
BY_PROXY = f'{SETTINGS}people = ["bob"]\n[board]\nlogin = "proxy"\nproxies = ["127.0.0.1"]\noperators = ["olga"]\n'
OPEN = {"/login", "/logout", "/healthz"}
"""Routes that show and change no work."""


def cases(work: TenantWork) -> dict[str, list[tuple[str, str, dict[str, str]]]]:
    """Return how each route is asked with one tenant's ids, by the route's path; a list has no id."""
    task, attempt = f"/tasks/{work.waiting}", f"/tasks/{work.ended}/attempts/1"
    changes = ("approve", "reject", "start", "cancel", "retry", "priority")
    levels = {"level": "critical"}
    return {
        "/": [("GET", "/", {})],
        "/tasks": [
            ("GET", "/tasks", {}),
            ("GET", f"/tasks?repository={work.repository}", {}),
            ("GET", f"/tasks?after={work.waiting}", {}),
            ("POST", "/tasks", {"repository": work.repository, "text": "Do what is not yours."}),
        ],
        "/new": [("GET", "/new", {})],
        "/tasks/{task_id}": [("GET", task, {}), ("GET", f"/tasks/{work.ended}", {})],
        "/tasks/{task_id}/{action}": [("POST", f"/tasks/{work.proposed}/{name}", levels) for name in changes]
        + [("POST", f"{task}/{name}", levels) for name in changes],
        "/signals": [("GET", "/signals?all=1", {}), ("GET", f"/signals?all=1&after={work.signal}", {})],
        "/signals/{signal_id:int}": [("GET", f"/signals/{work.signal}", {})],
        "/signals/{signal_id:int}/{decision}": [
            ("POST", f"/signals/{work.signal}/{name}", {"text_version": ""}) for name in ("hold", "release")
        ],
        "/schedules": [("GET", "/schedules", {})],
        "/schedules/{schedule_id}/{action}": [
            ("POST", f"/schedules/{work.schedule}/{name}", {}) for name in ("pause", "resume", "remove")
        ],
        "/plans": [
            ("GET", "/plans", {}),
            ("GET", f"/plans?repository={work.repository}", {}),
            ("GET", f"/plans?after={work.plan}", {}),
        ],
        "/plans/{plan_id}": [("GET", f"/plans/{work.plan}", {})],
        "/spending": [("GET", "/spending", {})],
        "/alerts": [("GET", "/alerts", {})],
        "/alerts/{action}": [
            ("POST", "/alerts/silence", {"match": name, "for": "1h"}) for name in (work.alert, "task_failures", "*")
        ]
        + [("POST", "/alerts/unsilence", {"match": name}) for name in (work.alert, "*")],
        "/tasks/{task_id}/attempts/{number:int}/log": [("GET", f"{attempt}/log", {})],
        "/tasks/{task_id}/attempts/{number:int}/events": [("GET", f"{attempt}/events", {})],
        "/report": [("GET", "/report", {})],
    }


@pytest.fixture
def work(samples: SampleData) -> dict[str, TenantWork]:
    made = fill(samples.ledger)
    with samples.ledger.write() as tx:
        for match in (made["beta"].alert, "*"):
            until = tx.now.replace(year=tx.now.year + 1)
            alerts.add_silence(tx, match, until=until, reason=WORDS["beta"], actor="cli:bananabread", trace_id=None)
    for tenant in ("beta", None):
        home = Home.from_environment()
        report = home.report if tenant is None else home.report_of(tenant)
        report.write_text(f"<style></style>{WORDS['beta']}", encoding="utf-8")
    return made


@pytest.fixture
def acme(samples: SampleData, work: dict[str, TenantWork]) -> Iterator[TestClient]:
    assert work
    with open_board(samples.ledger, settings=BY_TOKEN, of_tenants=TOKENS) as board:
        log_in(board, "acmes-login-7q4")
        yield board


def log_in(board: TestClient, token: str) -> None:
    answer = board.post("/login", data={"token": token, "person": "ann", "next": "/"})
    assert answer.status_code == 303, answer.text


def ask(board: TestClient, method: str, path: str, form: dict[str, str]) -> Any:
    if method == "GET":
        return board.get(path)
    return board.post(path, data={**form, "csrf": hidden_fields(board.get("/new").text)["csrf"]})


def stored(ledger: Ledger) -> dict[str, list[Any]]:
    with ledger.read() as tx:
        return {name: sorted(map(repr, tx.execute(select(table)).all())) for name, table in metadata.tables.items()}


def test_every_route_hides_another_tenants_work_and_changes_none_of_it(
    acme: TestClient, samples: SampleData, work: dict[str, TenantWork]
) -> None:
    routes = {route.path for route in acme.app.routes if isinstance(route, Route)}  # type: ignore[attr-defined]
    assert routes - OPEN == set(cases(work["beta"])), "a route that this test does not know"
    before = stored(samples.ledger)
    for foreign in (work["beta"], work["default"]):
        for route, asked in cases(foreign).items():
            for method, path, form in asked:
                answer = ask(acme, method, path, form)
                has_id = "{" in route or "after=" in path or method == "POST" or route == "/report"
                assert answer.status_code == (404 if has_id else 200), (method, path, answer.text)
                for word in (foreign.word, foreign.repository):
                    shown = answer.text.replace(foreign.repository, "") if f"repository={word}" in path else answer.text
                    assert word not in shown, (method, path)
    assert stored(samples.ledger) == before


def test_a_tenant_sees_its_own_work_on_the_same_routes(acme: TestClient, work: dict[str, TenantWork]) -> None:
    own = work["acme"]
    for path in ("/", "/tasks", "/signals?all=1", "/plans", "/spending", "/alerts", "/schedules"):
        text = acme.get(path).text
        assert own.word in text or own.repository in text, path
    for path in (f"/tasks/{own.ended}", f"/plans/{own.plan}", f"/signals/{own.signal}"):
        assert acme.get(path).status_code == 200
    assert acme.get(f"/tasks/{own.ended}/attempts/1/log").status_code == 200
    assert 'value="acme/shop"' in acme.get("/tasks").text
    assert "127.0.0.1:3000" not in acme.get(f"/tasks/{own.ended}").text, "Dagster's UI is the operator's"
    assert "Conditions" not in acme.get("/").text
    assert "ann of acme" in acme.get("/").text


def test_a_tenant_changes_its_own_work_and_the_trail_says_for_whom(
    acme: TestClient, samples: SampleData, work: dict[str, TenantWork]
) -> None:
    own = work["acme"]
    for path, form in (
        (f"/tasks/{own.proposed}/approve", {}),
        (f"/schedules/{own.schedule}/pause", {}),
        ("/alerts/silence", {"match": own.alert, "for": "1h"}),
        ("/alerts/unsilence", {"match": own.alert}),
        ("/tasks", {"repository": "ACME/shop", "text": "Please sort the imports."}),
    ):
        answer = ask(acme, "POST", path, form)
        assert answer.status_code == 303, (path, answer.text)
    with samples.ledger.read() as tx:
        audit = metadata.tables["audit"]
        actors = set(tx.execute(select(audit.c.actor).where(audit.c.actor.startswith("board:"))).scalars())
    assert actors == {"board:acme/ann"}


def test_an_operator_sees_all_and_a_wrong_token_nothing(samples: SampleData, work: dict[str, TenantWork]) -> None:
    with open_board(samples.ledger, settings=BY_TOKEN, of_tenants=TOKENS) as board:
        answer = board.post("/login", data={"token": "no-login-of-any", "person": "eve"})
        assert answer.status_code == 403
        assert board.get("/tasks").status_code == 303
        log_in(board, "whole-house-5k2")
        text = board.get("/tasks").text
        assert all(one.word in text for one in work.values())
        assert board.get(f"/tasks/{work['beta'].ended}").status_code == 200


def test_a_session_ends_when_its_tenant_is_gone_from_the_settings(samples: SampleData) -> None:
    with open_board(samples.ledger, settings='[board]\nlogin = "token"\n', of_tenants=TOKENS) as board:
        log_in(board, "acmes-login-7q4")
        assert board.get("/tasks").status_code == 303


def test_a_proxys_people_see_their_tenant_operators_all_and_others_nothing(
    samples: SampleData, work: dict[str, TenantWork]
) -> None:
    with open_board(samples.ledger, settings=BY_PROXY) as board:
        seen = {person: board.get("/tasks", headers={"X-Forwarded-User": person}) for person in ("bob", "olga", "eve")}
    assert seen["eve"].status_code == 403
    assert "belong to no tenant" in seen["eve"].text
    words = {person: {one.word for one in work.values() if one.word in seen[person].text} for person in ("bob", "olga")}
    assert words == {"bob": {WORDS["beta"]}, "olga": {*WORDS.values()}}
