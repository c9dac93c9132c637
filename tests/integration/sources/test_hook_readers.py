"""Readers of packages in their child: the documented example, installed, and readers that take their process down."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from squire_pipelines.domain.hook_schemes import HmacScheme, TokenScheme
from squire_pipelines.errors import SourceError
from squire_pipelines.settings.model import Settings
from squire_pipelines.sources.hook_readers import MAX_DEATHS, HookBody, HookSender, read_bodies, scheme_of_reader

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "squire-uptime"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
NASTY = """
import os, sys
from squire_pipelines.domain.hook_schemes import TokenScheme
from squire_pipelines.sources.hook_protocol import HookFact

class Nasty:
    name = "nasty"
    scheme = TokenScheme()

    def read(self, payload, context):
        match payload["act"]:
            case "exit": os._exit(0)
            case "memory": return [bytearray(2**32)]
            case "secrets": return [HookFact(repository="acme/api", key="a", title=",".join(sorted(os.environ)))]
            case _: return [HookFact(repository="acme/api", key=payload["act"], title="A")]

class Unsigned:
    name = "unsigned"
    scheme = None
    def read(self, payload, context): return ()
"""
SENDER = HookSender("deploys", "nasty", ("acme/api",), {}, {})


@pytest.fixture
def nasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed, as far as Python can tell."""
    folder = tmp_path / "site"
    info = folder / "squire_nasty_hooks-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "squire_nasty_hooks.py").write_text(NASTY, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: squire-nasty-hooks\nVersion: 1.0\n", encoding="utf-8")
    names = {"nasty": "Nasty", "unsigned": "Unsigned", "sentry": "Nasty", "gone": "Gone"}
    lines = [f"{name} = squire_nasty_hooks:{target}\n" for name, target in names.items()]
    (info / "entry_points.txt").write_text("[squire.hooks]\n" + "".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))


def bodies(*acts: str) -> list[HookBody]:
    return [HookBody(number, "message", NOW, f'{{"act": "{act}"}}'.encode()) for number, act in enumerate(acts)]


@pytest.mark.usefixtures("nasty")
def test_a_delivery_that_ends_the_child_is_told_by_its_error_and_the_others_are_read() -> None:
    readings = {one.delivery: one for one in read_bodies(SENDER, bodies("a", "b", "exit", "c"), timeout_s=60)}
    assert [fact.key for number in (0, 1, 3) for fact in readings[number].facts] == ["a", "b", "c"]
    assert "ended the process" in (readings[2].error or "")


@pytest.mark.usefixtures("nasty")
def test_after_so_many_deaths_the_others_are_left_for_the_next_time() -> None:
    readings = read_bodies(SENDER, bodies(*["exit"] * 30), timeout_s=60)
    assert 0 < len(readings) < MAX_DEATHS
    assert all(one.error for one in readings)


@pytest.mark.usefixtures("nasty")
def test_a_reader_sees_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_HOOK_NASTY_KEY", "secret")
    (reading,) = read_bodies(SENDER, bodies("secrets"), timeout_s=60)
    assert "PATH" in reading.facts[0].title
    assert "KEY" not in reading.facts[0].title


@pytest.mark.usefixtures("nasty")
def test_a_package_takes_no_shipped_readers_place_and_says_its_scheme_or_is_refused() -> None:
    assert isinstance(scheme_of_reader("sentry"), HmacScheme)
    assert scheme_of_reader("nasty") == TokenScheme()
    for name, says in (("unsigned", "says no scheme"), ("gone", "cannot be loaded")):
        with pytest.raises(SourceError, match=says):
            scheme_of_reader(name)
    (reading,) = read_bodies(HookSender("deploys", "gone", ("acme/api",), {}, {}), bodies("a"), timeout_s=60)
    assert "cannot be loaded" in (reading.error or "")
    assert read_bodies(SENDER, [], timeout_s=60) == ()


@pytest.mark.slow
def test_the_example_is_installed_and_reads_what_its_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(EXAMPLE)], check=True, timeout=120)
    monkeypatch.syspath_prepend(str(site))
    settings = Settings(repositories=("acme/shop",), hooks={"uptime": {"projects": {"shop": "acme/shop"}}})
    assert settings.hooks["uptime"].reader_of("uptime") == "uptime"
    assert scheme_of_reader("uptime") == HmacScheme(
        header="X-Uptime-Signature", prefix="sha256=", id_header="X-Uptime-Delivery"
    )
    sender = HookSender("uptime", "uptime", ("acme/shop",), {"shop": "acme/shop"}, {})
    texts = (b'{"monitor": "shop", "status": "down", "reason": "HTTP 502"}', b'{"monitor": "shop", "status": "up"}')
    down, up = read_bodies(sender, [HookBody(n, "message", NOW, text) for n, text in enumerate(texts)], timeout_s=60)
    assert [(one.key, one.state, one.body) for one in down.facts] == [("monitor/shop", "open", "HTTP 502")]
    assert [one.state for one in up.facts] == ["closed"]
