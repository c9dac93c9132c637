"""What the code server's runs are forked from, and what a forked process leaves when it ends."""

import multiprocessing
import random
import sys
import tempfile
from importlib.util import find_spec
from multiprocessing import forkserver
from pathlib import Path

import pytest
from dagster._grpc import server

from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.resources import stores
from squire_pipelines.runtime import run_processes
from squire_pipelines.runtime.run_imports import MODULES
from squire_pipelines.secrets import Secret
from tests.support.children import PATIENCE_S
from tests.support.forked import processes


@pytest.mark.parametrize("name", MODULES)
def test_what_runs_are_to_find_imported_exists(name: str) -> None:
    assert find_spec(name) is not None


@pytest.mark.parametrize(("most_bytes", "is_there"), [(4096, True), (40, False)])
def test_the_code_server_forks_and_a_killed_ones_socket_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, most_bytes: int, is_there: bool
) -> None:
    (tmp_path / "pymp-left").mkdir()
    (tmp_path / "code-server.log").touch()
    monkeypatch.setattr(run_processes, "MAX_SOCKET_PATH_BYTES", most_bytes)
    places: list[str] = []
    monkeypatch.setattr(server, "multiprocessing", multiprocessing)
    monkeypatch.setattr(forkserver, "ensure_running", lambda: places.append(tempfile.gettempdir()))
    monkeypatch.setattr(multiprocessing, "set_forkserver_preload", lambda _names: None)
    before = tempfile.gettempdir()
    run_processes.fork_runs(tmp_path)
    assert places == [str(tmp_path) if is_there else before]
    assert tempfile.gettempdir() == before
    assert [path.name for path in tmp_path.iterdir()] == ["code-server.log"]
    context = vars(server)["multiprocessing"].get_context("spawn")
    assert context is multiprocessing.get_context("forkserver")


def test_forked_runs_share_no_random_numbers() -> None:
    modules = [(name, module) for name, module in sys.modules.items() if name.startswith("squire_pipelines.")]
    values = [(f"{name}.{key}", value) for name, module in modules for key, value in vars(module).items()]
    # What the functions of `random` use is seeded again in each child, and SystemRandom has no state.
    assert [name for name, value in values if type(value) is random.Random] == []
    assert "squire_pipelines.publishing.tries" in dict(modules)


def read_a_secret(url: str) -> None:
    stores.opened_ledger(url)
    Secret("obviously-no-secret-0001", name="model-key", origin="keyring")


def test_a_forked_run_records_which_secrets_it_has_read_when_it_ends(ledger: Ledger) -> None:
    run = processes.Process(target=read_a_secret, args=(ledger.url,))
    run.start()
    run.join(PATIENCE_S)
    assert run.exitcode == 0
    with ledger.read() as tx:
        assert [row.subject for row in audit_page(tx) if row.action == "secret.read"] == ["model-key"]
