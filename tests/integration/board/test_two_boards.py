"""Two boards on one ledger, each a process with a home of its own, as behind a balancer that sends people to either."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from squire_pipelines.board.login import WRONG_PER_MINUTE
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import audit, login_failures
from tests.support.boards import hidden_fields
from tests.support.children import wait_until
from tests.support.deliveries import ReceiverProcess
from tests.support.ledgers import PostgresServer

TOKEN = "the-token-of-the-operators"
TENANTS_TOKEN = "the-token-of-acmes-people"
SETTINGS = """repositories = ["acme/shop"]
[board]
login = "token"
[tenants.acme]
repositories = ["acme/shop"]
[secrets]
allow_plain_files = true
"""


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "one", tmp_path / "two"
    for home in made:
        (home / "secrets").mkdir(parents=True, mode=0o700)
        (home / "config.toml").write_text(SETTINGS)
    return made


@pytest.fixture
def ledger(postgres: PostgresServer) -> Iterator[Ledger]:
    opened = Ledger(postgres.empty_ledger())
    yield opened
    opened.close()


@pytest.fixture
def boards(homes: tuple[Path, Path], ledger: Ledger) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A browser at each board; they share no cookies but those that a test hands on."""
    with ExitStack() as stack:
        browsers = []
        for home in homes:
            environment = ReceiverProcess.environment(
                home,
                SQUIRE_LEDGER_URL=ledger.url.render_as_string(hide_password=False),
                SQUIRE_BOARD_TOKEN=TOKEN,
                SQUIRE_BOARD__PORT="0",
            )
            board = ReceiverProcess.of(environment, ("squire_pipelines.board",))
            stack.callback(board.end)
            browsers.append(stack.enter_context(httpx.Client(base_url=board.url, timeout=30)))
        yield browsers[0], browsers[1]


def log_in(browser: httpx.Client, token: str) -> int:
    return browser.post("/login", data={"person": "Ada", "token": token}).status_code


@pytest.mark.slow
def test_a_person_is_signed_in_and_out_on_both(boards: tuple[httpx.Client, httpx.Client]) -> None:
    one, two = boards
    assert log_in(one, TOKEN) == 303
    two.cookies.update(one.cookies)
    # A page of one board and its form, which the other one takes.
    form = hidden_fields(one.get("/new").text)
    sent = two.post("/tasks", data=form | {"repository": "acme/shop", "text": "Tidy the shop up."})
    assert sent.status_code == 303
    assert "Tidy the shop up." in one.get(sent.headers["location"]).text
    assert two.post("/logout", data=form).status_code == 303
    two.cookies.update(one.cookies)
    assert [browser.get("/tasks").headers.get("location") for browser in boards] == ["/login?next=/tasks"] * 2


@pytest.mark.slow
def test_a_new_token_needs_no_restart_and_wrong_ones_are_counted_by_both(
    boards: tuple[httpx.Client, httpx.Client], homes: tuple[Path, Path], ledger: Ledger
) -> None:
    one, two = boards
    assert log_in(two, TENANTS_TOKEN) == 403
    for home in homes:
        file = home / "secrets" / "acme.board-token"
        file.touch(mode=0o600)
        file.write_text(TENANTS_TOKEN)

    def have_read() -> bool:
        row = audit.c
        of_token = select(func.count()).where(row.action == "secret.read", row.subject == "acme.board-token")
        with ledger.read() as tx:
            return bool(tx.execute(of_token).scalar_one() == len(homes))

    wait_until(have_read)
    assert log_in(one, TENANTS_TOKEN) == 303
    two.cookies.update(one.cookies)
    assert "Ada of acme" in two.get("/tasks").text
    (homes[0] / "secrets" / "acme.board-token").write_text("another-token-of-acmes")
    wait_until(lambda: one.get("/tasks").status_code == 303)
    assert two.get("/tasks").status_code == 200  # which has the token still that it began with

    assert [log_in(browser, "a-wrong-one") for browser in (one, two)] == [403, 403]
    with ledger.read() as tx:
        left = tx.execute(select(login_failures.c.tries_left)).scalars().all()
    assert len(left) == 1
    assert left[0] < WRONG_PER_MINUTE
