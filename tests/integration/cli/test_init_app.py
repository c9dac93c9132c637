"""`squire init --github-app` against the forge: in a browser, without one, and with what goes wrong between."""

import json
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from squire_forge.process import ForgeProcess
from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.main import cli
from squire_pipelines.github.app_registration import MAX_PASTED
from squire_pipelines.settings.model import load_settings
from tests.support.browser import Browser
from tests.support.cli import LateInput, Squire
from tests.support.forge import forge, forge_home, hosted_home, samples
from tests.support.secret_store_faults import cheap_store

__all__ = ["forge", "forge_home", "hosted_home", "samples"]

REPOSITORY = "demo/webshop"
UNKNOWN = "0123456789abcdef"
APP = ("init", "--github-app", "--wait", "20")


@pytest.fixture
def config(squire: Squire, forge: ForgeProcess) -> Path:
    return squire.config(
        f'# mine\nrepositories = ["{REPOSITORY}"]\n[github]  # where it is\napi_url = "{forge.api_url}"\n'
        "min_write_interval_s = 0\n"
    )


@pytest.fixture
def at_display(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[str], None]], None]]:
    """A machine with a display, whose browser does what a test says."""
    threads: list[threading.Thread] = []

    def use(browse: Callable[[str], None]) -> None:
        class Opened(webbrowser.BaseBrowser):
            def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:  # noqa: FBT001, FBT002 - as there
                del new, autoraise
                threads.append(threading.Thread(target=browse, args=(url,)))
                threads[-1].start()
                return True

        monkeypatch.setenv("DISPLAY", ":99")
        monkeypatch.setattr(webbrowser, "get", Opened)

    yield use
    for thread in threads:
        thread.join(30)


def headless(
    squire: Squire, answer: Callable[[str], str], *words: str, then: Callable[[], str] | None = None
) -> Result:
    """Run the command where no browser is.

    `answer` gets the page's HTML, and gives what is pasted; `then` gives what is written next, at a terminal.
    """
    page = squire.home / "run" / "github-app.html"
    stdin = LateInput(lambda: answer(page.read_text()), *([then] if then else []))
    words = (*APP, "--no-browser", "--code-stdin", *words)
    context = CliContext(is_interactive=then is not None)
    return CliRunner().invoke(cli, list(words), prog_name="squire", input=stdin, obj=context)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.usefixtures("store_file")
def test_one_command_makes_keeps_names_and_installs_an_app(
    squire: Squire, config: Path, at_display: Callable[[Callable[[str], None]], None]
) -> None:
    browser = Browser(name="Acme Squire")

    def browse(url: str) -> None:
        form = browser.go(url).text
        browser.install(browser.go(browser.make_app(form)))

    at_display(browse)
    result = squire(*APP)
    assert result.exit_code == 0, result.output
    assert "acme-squire is installed on demo/webshop" in result.stderr
    text = config.read_text()
    assert text.startswith("# mine\n")
    assert "[github]  # where it is\n" in text
    assert load_settings().github.app_slug == "acme-squire"
    key = squire.ok("secrets", "get", "github-app-key", "--reveal").strip()
    assert key.startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert "webhook-secret" not in cheap_store(squire.home / "secrets.sealed").read()  # no webhook was asked for
    lines = key.splitlines()
    files = [path for path in squire.home.rglob("*") if path.is_file()]
    assert not any(lines[5].encode() in path.read_bytes() for path in files)
    assert lines[5] not in result.output + "".join(page.text for page in browser.pages)
    assert not (squire.home / "github-app.json").exists()
    rows = {row["name"]: row for row in json.loads(squire("doctor", "--json").stdout)}
    assert rows["github app"]["status"] == "ok", rows
    assert rows[f"github {REPOSITORY}"]["status"] == "ok"
    squire.ok("config", "set", "ci.rerun", "false")
    rows = {row["name"]: row for row in json.loads(squire("doctor", "--json").stdout)}
    assert "more than is needed: actions: write" in rows["github app"]["message"]
    assert "/settings/apps/acme-squire/permissions" in rows["github app"]["next_step"]
    assert "names the GitHub App acme-squire already" in squire.fails(3, *APP).replace("settings name ", "names ")


@pytest.mark.slow
def test_without_a_browser_the_address_is_pasted(
    squire: Squire, config: Path, store_file: Path, forge: ForgeProcess
) -> None:
    config.write_text(config.read_text() + f'[webhooks]\npublic_url = "{forge.url}/hooks"\nport = 0\n')
    browser = Browser()

    def paste(html: str) -> str:
        location = browser.make_app(html)
        browser.install(browser.go(f"{forge.url}/apps/squire-acme/installations/new"))
        return f"what?\n{location}\n"

    result = headless(squire, paste, "--organization", "acme", "--json")
    assert result.exit_code == 0, result.output
    assert "there is no code in that" in result.stderr
    assert "ssh -N -L" in result.stderr
    shown = json.loads(result.stdout)
    assert (shown["slug"], shown["installed"], shown["repositories"]) == ("squire-acme", True, [REPOSITORY])
    assert set(cheap_store(store_file).names()) == {"github-app-key", "webhook-secret"} == set(shown["secrets"])
    assert not (squire.home / "run" / "github-app.html").exists()


@pytest.mark.usefixtures("config", "store_file")
def test_two_commands_at_once_make_one_app(squire: Squire) -> None:
    def second(html: str) -> str:
        refusal = squire(*APP, "--no-browser")
        assert (refusal.exit_code, "another `squire init --github-app`" in refusal.stderr) == (3, True)
        return f"{Browser().make_app(html)}\n"

    assert "GitHub made the App" in headless(squire, second, "--wait", "1").stderr


@pytest.mark.usefixtures("config")
def test_no_app_is_made_while_its_key_could_not_be_kept(squire: Squire) -> None:
    assert "needs a passphrase" in squire.fails(3, *APP, "--no-browser")
    assert not (squire.home / "github-app.json").exists()


@pytest.mark.slow
def test_what_fails_after_the_app_was_made_says_how_to_go_on(squire: Squire, config: Path, store_file: Path) -> None:
    before, sealed = config.read_text(), store_file.read_bytes()

    def break_store(html: str) -> str:
        location = Browser(name="First").make_app(html)
        store_file.write_bytes(b"x" * 100)
        return location

    result = headless(squire, break_store)
    assert result.exit_code == 3, result.output
    assert "the App first was made, and its key is not kept" in result.stderr
    assert "/settings/apps/first/advanced" in result.stderr
    store_file.write_bytes(sealed)
    assert "generate a new private key" in squire.fails(3, *APP, "--continue")
    assert "--replace makes another one" in squire.fails(3, *APP)

    def break_settings(html: str) -> str:
        location = Browser(name="Second").make_app(html)
        config.write_text(before + "[dispatch\n")
        return location

    result = headless(squire, break_settings, "--replace")
    assert result.exit_code == 3, result.output
    assert "the secrets of the App second are kept, and the settings do not name it" in result.stderr
    config.write_text(before)
    result = squire("init", "--github-app", "--continue", "--wait", "1", "--json")
    assert result.exit_code == 1
    assert "second is not installed on demo/webshop yet" in result.stderr
    assert json.loads(result.stdout)["missing"] == [REPOSITORY]
    assert load_settings().github.app_slug == "second"
    assert not (squire.home / "github-app.json").exists()


@pytest.mark.usefixtures("config")
def test_a_person_repairs_the_store_while_the_key_is_in_memory(
    squire: Squire, store_file: Path, forge: ForgeProcess
) -> None:
    sealed, browser = store_file.read_bytes(), Browser(name="First")

    def break_store(html: str) -> str:
        location = browser.make_app(html)
        browser.install(browser.go(f"{forge.url}/apps/first/installations/new"))
        store_file.write_bytes(b"x" * 100)
        return f"{UNKNOWN}\n{location}\n"

    def repair() -> str:
        store_file.write_bytes(sealed)
        return "\n"

    result = headless(squire, break_store, then=repair)
    assert result.exit_code == 0, result.output
    assert "GitHub does not know this code" in result.stderr
    assert "The key of first is still in memory" in result.stderr
    assert "github-app-key is kept in the encrypted file" in result.stderr
    assert load_settings().github.app_slug == "first"


@pytest.mark.usefixtures("store_file", "config")
def test_a_code_that_github_does_not_know_or_that_bears_another_state_makes_nothing_ours(
    squire: Squire, forge: ForgeProcess
) -> None:
    result = headless(squire, lambda _: "http://127.0.0.1:1/callback?code=abc&state=other\n" * MAX_PASTED)
    assert result.exit_code == 5, result.output
    assert "another state" in result.stderr
    result = headless(squire, lambda _: f"{UNKNOWN}\n")
    assert result.exit_code == 1, result.output
    assert "older than an hour, or was used already" in result.stderr
    assert f"{forge.url}/settings/apps" in result.stderr
    assert load_settings().github.app_id is None


@pytest.mark.usefixtures("store_file")
def test_places_that_win_over_what_would_be_kept_are_refused(
    squire: Squire, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "belong to --github-app" in squire.fails(2, "init", "--replace")
    squire.ok("secrets", "set", "github-app-key", stdin="old")
    assert "--replace puts the new one in its place" in squire.fails(3, *APP)
    monkeypatch.setenv("SQUIRE_GITHUB_APP_KEY", "old")
    assert "environment variable SQUIRE_GITHUB_APP_KEY has github-app-key" in squire.fails(3, *APP, "--replace")
    monkeypatch.delenv("SQUIRE_GITHUB_APP_KEY")
    config.write_text(config.read_text().replace("127.0.0.1", "127.0.0.1:1/nowhere", 1))
    assert "cannot be reached" in squire.fails(4, *APP, "--replace")
