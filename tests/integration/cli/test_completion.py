"""What a shell completes: from the index of all commands, and from the settings and the ledger of a home."""

import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from squire_pipelines.cli.completion import MAX_OFFERED, answer, complete, read_index
from squire_pipelines.cli.main import cli
from squire_pipelines.domain.endings import Cause
from tests.support.cli import SampleData, Squire, spec

INDEX = read_index()
CONFIG = 'repositories = ["acme/shop", "other/one", "acme/api"]\n[agents.careful]\nkind = "codex"\n'


def offered(line: str) -> list[str]:
    """What completes a command line behind `squire`; its last word, which may be empty, is incomplete."""
    *words, incomplete = line.split(" ")
    return [item.value for item in complete(words, incomplete, INDEX)]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("sched", ["schedules"]),
        ("tasks li", ["list"]),
        ("tasks list --stat", ["--status"]),
        ("tasks list --status pro", ["proposed"]),
        ("tasks list --status=pro", ["--status=proposed"]),
        ("tasks list --status = pro", ["proposed"]),  # as bash takes it apart
        ("tasks list --status proposed --st", ["--status"]),  # it may be repeated
        ("tasks list --order newest --ord", []),
        ("tasks list --repository acme/", ["acme/shop", "acme/api"]),
        ("signals list --repository AC", ["acme/shop", "acme/api"]),
        ("tasks new other", ["other/one"]),
        ("tasks new acme/shop --agent c", ["careful", "claude-code", "codex", "copilot", "command"]),
        ("tasks new acme/shop --template fix", ["fix-ci"]),
        ("config get dispatch.max_conc", ["dispatch.max_concurrent"]),
        ("config set agent.mode", ["agent.model"]),
        ("secrets set github-t", ["github-token"]),
        ("completion z", ["zsh"]),
        ("new other", ["other/one"]),  # an old name
        ("list --status fa", ["failed"]),
        ("nothing at all", []),
        ("tasks show -- --js", []),
        ("--log-level de", ["debug"]),
    ],
)
def test_commands_options_and_names_are_offered(squire: Squire, line: str, values: Sequence[str]) -> None:
    squire.config(CONFIG)
    assert offered(line) == list(values)


def test_a_help_that_is_cut_ends_with_a_word() -> None:
    texts = [item.help for item in complete(["dev"], "--l", INDEX)]
    assert texts == ["Show the logs of all processes, at debug unless --log-level says otherwise, ..."]


def test_ids_are_those_in_the_state_that_the_command_takes(squire: Squire, samples: SampleData) -> None:
    proposed = samples.task("Proposed", approved=False)
    failed, done = samples.ended(Cause.AGENT_ERROR, "Failed"), samples.ended(Cause.COMPLETED, "Done")
    plan, (ready,) = samples.plan(spec("Ready"))
    assert squire.home
    for line in ("tasks approve ", "tasks reject "):
        assert offered(line) == [proposed]
    assert set(offered("tasks retry ")) == set(offered("retry ")) == {failed, done}
    assert offered("tasks followup ") == [done]
    assert set(offered("tasks start ")) == {proposed, ready}
    assert set(offered("tasks cancel ")) == set(offered("stop ")) == {proposed, ready}
    assert set(offered("tasks logs ")) == set(offered("logs ")) == {failed, done}
    assert set(offered("tasks show ")) == {proposed, failed, done, ready}
    assert plan in offered("plans show ")
    assert offered(f"tasks cancel {proposed} ") == [ready]  # what is named already is not offered again
    assert offered(f"tasks show {ready[:-1]}") == [ready]
    assert offered("tasks show x") == []


def test_the_newest_are_offered_of_too_many(squire: Squire, samples: SampleData) -> None:
    first = samples.task("First")
    with closing(sqlite3.connect(squire.home / "ledger.sqlite")) as db, db:
        columns = [row[1] for row in db.execute("PRAGMA table_xinfo(tasks)") if row[6] == 0 and row[1] != "id"]
        names = ", ".join(columns)
        values = ", ".join(f"'{name}' || n" if name in {"branch", "fingerprint"} else name for name in columns)
        db.execute(
            f"WITH RECURSIVE c(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM c WHERE n < 249) "  # noqa: S608 - a test's
            f"INSERT INTO tasks (id, {names}) SELECT 't' || n, {values} FROM tasks, c"
        )
    shown = offered("tasks cancel t")
    assert (len(shown), first in shown) == (MAX_OFFERED, True)
    assert offered("tasks cancel t24") == [f"t{number}" for number in range(249, 239, -1)]


def test_help_of_strangers_is_clean(squire: Squire, samples: SampleData) -> None:
    task_id = samples.task("A \x1b[31mred\x1b[0m\n one")
    assert squire.home
    (item,) = complete(["tasks", "show"], task_id, INDEX)
    assert (item.value, item.help) == (task_id, "A red one")


@pytest.mark.parametrize("state", ["no ledger", "a broken ledger", "a locked ledger", "refused settings", "a server"])
def test_nothing_is_offered_and_nothing_said_where_nothing_can_be_read(
    squire: Squire, samples: SampleData, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    task_id, ledger = samples.task(), squire.home / "ledger.sqlite"
    expected = ""
    if state == "no ledger":
        monkeypatch.setenv("SQUIRE_HOME", str(squire.home / "elsewhere"))
    elif state == "a broken ledger":
        other = squire.home / "broken.sqlite"
        other.write_text("broken")
        squire.config(f'ledger_url = "sqlite:///{other}"\n')
    elif state == "a server":
        squire.config('ledger_url = "postgresql://127.0.0.1:1/x"\n')
    elif state == "refused settings":
        squire.config("[agent]\nnothing = 1\n")
        expected = f"plain,{task_id}\n"  # where the ledger is, is known all the same
    monkeypatch.setenv("COMP_WORDS", "squire tasks show t")
    monkeypatch.setenv("COMP_CWORD", "3")
    with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
        if state == "a locked ledger":
            samples.ledger.close()
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")  # which keeps readers out, too
        assert answer("bash_complete", cli)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (expected, "")
    assert not (squire.home / "elsewhere").exists()


@pytest.mark.parametrize(
    ("shell", "words", "number", "form"),
    [
        ("bash", "squire tasks show t", "3", "plain,{}"),
        ("zsh", "squire tasks show t", "3", "plain\n{}\nFix it"),
        ("fish", "squire tasks show ", "t", "plain,{}\nFix it"),
    ],
)
def test_each_shell_gets_its_own_form(  # noqa: PLR0917 - a row of the table
    squire: Squire,
    samples: SampleData,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    shell: str,
    words: str,
    number: str,
    form: str,
) -> None:
    task_id = samples.task("Fix it")
    assert squire.home
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", number)
    assert answer(f"{shell}_complete", cli)
    assert capsys.readouterr().out.replace("\t", "\n") == f"{form.format(task_id)}\n"
    assert not answer(f"{shell}_source", cli)


@pytest.mark.parametrize(
    ("shell", "first", "check"),
    [
        ("bash", "# For this shell", ["bash", "-n"]),
        ("zsh", "#compdef squire", ["zsh", "-n"]),
        ("fish", "#", ["fish", "-n"]),
    ],
)
def test_the_script_is_one_of_its_shell(
    squire: Squire, tmp_path: Path, shell: str, first: str, check: list[str]
) -> None:
    script = squire.ok("completion", shell)
    assert script.startswith(first)
    assert f"squire completion {shell}" in script
    assert f"_SQUIRE_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([*check, str(tmp_path / "script")], check=True, timeout=30)


def test_bash_completes_by_the_script(squire: Squire, samples: SampleData, tmp_path: Path) -> None:
    task_id = samples.task(approved=False)
    samples.task("Ready")
    (tmp_path / "script").write_text(squire.ok("completion", "bash"))
    program = tmp_path / "squire"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom squire_pipelines.cli.main import main\n"
        "main()\n"
        "heavy = {'pydantic', 'sqlalchemy', 'rich', 'dagster', 'httpx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    program.chmod(0o755)
    typed = (
        f"source {shlex.quote(str(tmp_path / 'script'))}; complete -p squire; COMP_WORDS=(squire tasks approve t); "
        "COMP_CWORD=3; _squire_completion squire t approve; echo ${COMPREPLY[*]}"
    )
    environment = os.environ | {"SQUIRE_HOME": str(squire.home), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", typed], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["complete -o nosort -F _squire_completion squire", task_id]
    assert done.stderr == ""
