"""Sources of packages: the documented example, installed and run, and packages that misbehave."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from squire_pipelines.assets.signals import CHECK
from squire_pipelines.cli.main import cli
from squire_pipelines.domain.signals import Collection, CollectionStatus, FurtherSource, PluginFact
from squire_pipelines.errors import ConfigError
from squire_pipelines.ledger import collections
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.selection import PlanInputs
from squire_pipelines.settings.model import load_settings
from squire_pipelines.sources.reading import read_sources, sources_to_read
from tests.support.pipeline import HANDBOOK, QUIET, Pipeline

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "squire-todo"
NASTY_SOURCE = FurtherSource("nasty")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
NASTY = """
import os, sys, time
from squire_pipelines.sources.protocol import SourceFact

class Nasty:
    name = "nasty"
    description = "Whatever goes wrong."

    def read(self, context):
        match context.options["act"]:
            case "raise": raise KeyError("no such thing")
            case "exit": os._exit(0)
            case "hang": time.sleep(600)
            case "memory": return [bytearray(2**32)]
            case "none": return None
            case "texts": return ["a", "b"]
            case "twice": return [SourceFact(key="a", title="A")] * 2
            case "many": return (SourceFact(key=str(number), title="A") for number in range(10**9))
            case "forged": return [SourceFact.model_construct(key="a\\n", title="A")]
            case "print": print("noise"); return [SourceFact(key="a", title="A")]
            case "secrets": return [SourceFact(key="a", title=",".join(sorted(os.environ)))]
"""


@pytest.fixture
def nasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed, as far as Python can tell."""
    folder = tmp_path / "site"
    info = folder / "squire_nasty-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "squire_nasty.py").write_text(NASTY, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: squire-nasty\nVersion: 1.0\n", encoding="utf-8")
    entry = "[squire.signals]\nnasty = squire_nasty:Nasty\nopen_prs = squire_nasty:Nasty\n"
    (info / "entry_points.txt").write_text(entry, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))


def settings_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("SQUIRE_CONFIG", str(tmp_path / "config.toml"))


def read_nasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, *, timeout_s: int = 60) -> Collection:
    text = f'[sources.nasty]\ntimeout_s = {timeout_s}\noptions = {{ act = "{act}" }}\n'
    settings_with(tmp_path, monkeypatch, text)
    settings = load_settings()
    sources = sources_to_read(settings, "acme/api", {FurtherSource("manual"): False, NASTY_SOURCE: False})
    (reading,) = asyncio.run(read_sources(settings, "acme/api", sources, clock=lambda: NOW))
    return reading


@pytest.mark.usefixtures("nasty")
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("raise", "KeyError: 'no such thing'"),
        ("exit", "ended the process"),
        ("memory", "MemoryError|more memory"),
        ("none", "TypeError"),
        ("texts", "yielded a str where a SourceFact belongs"),
        ("twice", "two facts with the key 'a'"),
        ("many", "more than 500 facts"),
        ("forged", "a fact that is none"),
    ],
)
def test_a_source_that_misbehaves_is_a_failed_reading_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, says: str
) -> None:
    reading = read_nasty(tmp_path, monkeypatch, fault)
    assert (reading.status, reading.error_code, reading.signals) == (CollectionStatus.FAILED, "source", ())
    assert reading.error is not None
    assert any(part in reading.error for part in says.split("|")), reading.error


@pytest.mark.slow
@pytest.mark.usefixtures("nasty")
def test_a_source_that_hangs_is_ended_at_its_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read_nasty(tmp_path, monkeypatch, "hang", timeout_s=3)
    assert reading.status is CollectionStatus.FAILED
    assert "longer" in (reading.error or "")


@pytest.mark.usefixtures("nasty")
def test_a_source_may_print_and_sees_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "ghp_" + "x" * 36)
    assert len(read_nasty(tmp_path, monkeypatch, "print").signals) == 1
    (signal,) = read_nasty(tmp_path, monkeypatch, "secrets").signals
    assert "PATH" in signal.title
    assert "TOKEN" not in signal.title


@pytest.mark.usefixtures("nasty")
def test_only_sources_that_are_installed_can_be_named_and_none_takes_the_place_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sentry", "open_prs", "manual"):
        settings_with(tmp_path, monkeypatch, f"[sources.{name}]\n")
        with pytest.raises(ConfigError, match=r"there are: nasty"):
            load_settings()


@pytest.mark.usefixtures("nasty")
def test_a_source_that_is_switched_off_is_read_once_more_so_that_its_signals_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_with(tmp_path, monkeypatch, "[sources.nasty]\nenabled = false\n")
    settings = load_settings()
    assert sources_to_read(settings, "acme/api", {NASTY_SOURCE: False}) == ()
    sources = sources_to_read(settings, "acme/api", {NASTY_SOURCE: True})
    (reading,) = asyncio.run(read_sources(settings, "acme/api", sources, clock=lambda: NOW))
    assert (reading.status, reading.signals) == (CollectionStatus.FRESH, ())


@pytest.mark.slow
@pytest.mark.parametrize("may_start", [False, True])
def test_the_example_is_installed_and_its_facts_start_work_only_when_the_settings_say_so(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, may_start: bool
) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(EXAMPLE)], check=True, timeout=120)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    todo = tmp_path / "todo.txt"
    todo.write_text(f"{QUIET}: Say in the README what it is\n{HANDBOOK}: Another\n", encoding="utf-8")
    start = "true" if may_start else "false"
    pipeline.configure(f'[sources.todo]\nmay_start = {start}\noptions = {{ file = "{todo}" }}\n')

    result = CliRunner().invoke(cli, ["signals", "collect", QUIET, "--json"], prog_name="squire")
    assert result.exit_code == 0, result.output
    readings = {row["source"]: row for row in json.loads(result.stdout)["readings"]}
    assert (readings["todo"]["status"], readings["todo"]["signals"]) == ("fresh", 1)
    asset = dg.AssetKey(["signals", "todo"])
    with dg.DagsterInstance.from_config(str(pipeline.home / "dagster")) as instance:
        shown = instance.get_latest_materialization_event(asset)
        checked = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(asset, CHECK), limit=1)
        assert instance.get_materialized_partitions(asset) == {QUIET}
    assert shown is not None
    assert shown.asset_materialization is not None
    assert shown.asset_materialization.metadata["signals"].value == 1
    assert [record.status.value for record in checked] == ["SUCCEEDED"]
    with pipeline.ledger.read() as tx:
        signals = collections.active_signals(tx, QUIET)
    (fact,) = [signal for signal in signals if isinstance(signal.details, PluginFact)]
    assert fact.key.startswith(FurtherSource("todo").key_prefix)
    plan = plan_by_rules(PlanInputs(QUIET, signals, "main", (), frozenset(), max_tasks=20))
    assert [task.title for task in plan.tasks] == ["Deal with: Say in the README what it is"] * may_start
    assert fact.verdict is not None
    assert ("sources.todo.may_start" in fact.verdict.reason) is not may_start
    assert any("held" in note for note in plan.notes) is not may_start
