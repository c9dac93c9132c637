"""Every answer of the corpus ends in a valid plan of the model or in the rules' plan with the reason, over HTTP."""

import asyncio
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from squire_pipelines.domain.plans import DEFAULT_BOUNDS, check_plan
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.model import Settings
from tests.support.answer_corpus import ANSWERS, CONTENTS, SHAPES, body_of
from tests.support.signal_samples import issue

SIGNALS = [issue(10), issue(11)]


class Server(ThreadingHTTPServer):
    """Gives one answer to every request."""

    body = b""
    asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked += 1
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join(timeout=10)


def plan(server: Server) -> Plan:
    settings = Settings(planner=PlannerSettings(model="local-model", base_url=server.url, max_retries=1, max_tasks=5))
    return asyncio.run(
        make_plan(
            settings,
            "o/r",
            SIGNALS,
            default_branch="main",
            covered=frozenset(),
            find_key=lambda _name: None,
            on_call=lambda _call: None,
            reserve=lambda _provider: None,
        )
    )


def test_the_corpus_is_large_enough() -> None:
    assert len(ANSWERS) >= 200
    assert {name for name, _ in ANSWERS} == set(CONTENTS)
    assert {shape for _, shape in ANSWERS} == set(SHAPES)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape"), ANSWERS)
def test_an_answer_ends_in_a_valid_plan_or_in_the_rules_plan_with_the_reason(
    server: Server, name: str, shape: str
) -> None:
    content = CONTENTS[name]
    server.body = body_of(content, SHAPES[shape])
    server.asked = 0
    made = plan(server)
    assert 1 <= server.asked <= 2
    assert check_plan(made, known_signals={signal.ref for signal in SIGNALS}, max_tasks=5) == ()
    is_taken = made.planner == "llm:local-model"
    if content.is_taken is not None:
        assert is_taken is content.is_taken, made.notes
    if not is_taken:
        assert made.planner == "rules"
        assert made.notes[0].startswith("planned by rules, since the model failed (")
        assert len(made.notes[0]) < 1_000
        assert len(made.tasks) == len(SIGNALS)
        return
    assert all(DEFAULT_BOUNDS.excess(task.size) is None and task.size is not None for task in made.tasks)
    assert all(task.base_branch == "main" and task.agent is None for task in made.tasks)
    assert all("**" not in task.allow_protected for task in made.tasks)
