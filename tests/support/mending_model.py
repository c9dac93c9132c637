"""A scripted model over HTTP: it gives an answer of the corpus first, and a good one once it is told what was wrong."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from squire_pipelines.domain.tasks import Plan
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.model import Settings
from tests.support.answer_corpus import ANSWERS, CONTENTS, SHAPES, body_of
from tests.support.signal_samples import issue

ASKS = 3
_MODEL = "local-model"


@dataclass
class MendingModel:
    """Answers with `first` until a question has more messages than the first one had: then it was told something."""

    first: bytes = b""
    mended: bytes = b""
    url: str = ""
    messages: list[int] = field(default_factory=list)

    def answer(self, body: dict[str, object]) -> bytes:
        """Return the answer to one question."""
        messages = body.get("messages")
        self.messages.append(len(messages) if isinstance(messages, list) else 0)
        return self.mended if self.messages[-1] > self.messages[0] else self.first


@contextmanager
def mending_model() -> Iterator[MendingModel]:
    """Serve one on loopback."""
    model = MendingModel()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = model.answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        model.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield model
        server.shutdown()
        thread.join(timeout=10)


def asks_until_taken() -> list[int | None]:
    """Return for each answer of the corpus after how many asks the model's plan was taken; None where it never was."""
    taken: list[int | None] = []
    with mending_model() as model:
        settings = Settings(
            planner=PlannerSettings(model=_MODEL, base_url=model.url, max_retries=ASKS - 1, max_tasks=5)
        )
        for name, shape in ANSWERS:
            model.first = body_of(CONTENTS[name], SHAPES[shape])
            model.mended = body_of(CONTENTS["valid"], SHAPES[shape])
            model.messages.clear()
            made = _plan(settings)
            taken.append(len(model.messages) if made.planner == f"llm:{_MODEL}" else None)
    return taken


def _plan(settings: Settings) -> Plan:
    return asyncio.run(
        make_plan(
            settings,
            "o/r",
            [issue(10), issue(11)],
            default_branch="main",
            covered=frozenset(),
            find_key=lambda _name: None,
            on_call=lambda _call: None,
            reserve=lambda _provider: None,
        )
    )
