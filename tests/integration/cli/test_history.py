import csv
import io
import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from squire_pipelines.cli import fast_list
from squire_pipelines.cli.history_shell import KEPT_LINES
from squire_pipelines.cli.history_sql import unique_names
from tests.support.cli import SampleData, Squire
from tests.support.years import fill


@pytest.mark.slow
def test_what_was_published_can_be_asked(squire: Squire, samples: SampleData) -> None:
    samples.task("Fix, \x1b[31mit")
    assert "published" in squire.ok("history", "publish")
    assert "Fix, it" in squire.ok("history", "sql", "select title from tasks")
    query = "select status, title, 1 as status, null as nothing from tasks"
    (row,) = squire.json("history", "sql", query)
    assert row == {"status": "ready", "title": "Fix, \x1b[31mit", "status_2": 1, "nothing": None}
    (header, line) = csv.reader(io.StringIO(squire.ok("history", "sql", "--csv", "-", stdin=query)))
    assert header == ["status", "title", "status_2", "nothing"]
    assert line == ["ready", "Fix, it", "1", ""]


def test_an_answer_that_was_cut_says_so(squire: Squire, samples: SampleData) -> None:
    assert samples
    squire.ok("history", "publish")
    result = squire("history", "sql", "select * from range(5)", "--limit", "3", "--json")
    assert "there are more rows than these 3" in result.stderr
    assert [row["range"] for row in json.loads(result.stdout)] == [0, 1, 2]


@pytest.mark.slow
def test_an_answer_of_an_older_publication_says_that_more_has_happened_since(
    squire: Squire, samples: SampleData, tmp_path: Path
) -> None:
    samples.task("Before")
    squire.ok("history", "publish")
    assert squire("history", "sql", "select count(*) from tasks").stderr == ""
    assert squire.json("history", "report")["changed_since"] is False
    samples.reading()
    for form in ((), ("--csv",), ("--parquet", str(tmp_path / "signals.parquet"))):
        result = squire("history", "sql", *form, "select count(*) from signals")
        assert re.search(r"published \d+s ago; `squire history publish` takes what happened since", result.stderr), form
    assert json.loads(squire("history", "sql", "--json", "select 1 as one").stdout) == [{"one": 1}]
    assert squire.json("history", "report")["changed_since"] is True
    assert squire.json("history", "export", str(tmp_path / "lake"))["changed_since"] is True
    assert "published" in squire("history", "export", str(tmp_path / "lake")).stderr
    squire.ok("history", "publish")
    samples.reading()  # which found everything as it was
    assert squire("history", "sql", "select count(*) from signals").stderr == ""


def test_what_happened_since_is_found_by_an_index_alone(squire: Squire, samples: SampleData) -> None:
    samples.task()
    for table, column in fast_list.CHANGES.items():
        (plan,) = sqlite3.connect(squire.home / "ledger.sqlite").execute(
            f"EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE {column} > ?",  # noqa: S608 - names of our own
            [""],
        )
        assert "SEARCH" in plan[-1], plan
        assert "INDEX" in plan[-1], plan


def test_a_ledger_that_cannot_be_read_is_no_reason_to_give_no_answer(squire: Squire, samples: SampleData) -> None:
    samples.task()
    squire.ok("history", "publish")
    samples.ledger.close()
    (squire.home / "ledger.sqlite").write_bytes(b"no database")
    assert "1" in squire.ok("history", "sql", "select count(*) from tasks")
    assert squire.json("history", "report")["changed_since"] is None


@pytest.mark.slow
def test_csv_and_parquet_have_all_rows_and_a_table_has_the_first(
    squire: Squire, samples: SampleData, tmp_path: Path
) -> None:
    assert samples
    squire.ok("history", "publish")
    assert len(squire.ok("history", "sql", "--csv", "from range(3000)").splitlines()) == 3001
    assert "wrote 3000 rows" in squire.ok(
        "history", "sql", "--parquet", str(tmp_path / "a.parquet"), "from range(3000)"
    )
    assert duckdb.connect().read_parquet(str(tmp_path / "a.parquet")).aggregate("sum(range)").fetchall() == [(4498500,)]
    table = squire("history", "sql", "from range(3000)")
    assert "199" in table.stdout
    assert "there are more rows than these 200" in table.stderr


def test_json_has_numbers_lists_and_no_infinity(squire: Squire, samples: SampleData) -> None:
    assert samples
    squire.ok("history", "publish")
    (row,) = squire.json(
        "history", "sql", "select 1.5::decimal(4,1) a, [1,2] b, {'k': date '2026-03-01'} c, 'inf'::double d"
    )
    assert row == {"a": 1.5, "b": [1, 2], "c": {"k": "2026-03-01"}, "d": None}
    assert squire.json("history", "sql", "from tasks") == []


def test_a_query_comes_from_a_file_as_well(squire: Squire, samples: SampleData, tmp_path: Path) -> None:
    assert samples
    squire.ok("history", "publish")
    (tmp_path / "q.sql").write_text("select 42 as answer")
    assert "42" in squire.ok("history", "sql", "--file", str(tmp_path / "q.sql"))
    assert "cannot be read" in squire.fails(2, "history", "sql", "--file", str(tmp_path / "none.sql"))
    assert "give a query" in squire.fails(2, "history", "sql")


@pytest.mark.slow
def test_a_query_that_is_wrong_or_forbidden_is_2(squire: Squire, samples: SampleData, tmp_path: Path) -> None:
    assert samples
    squire.ok("history", "publish")
    for query in ("select nonsense", "drop table tasks", "select * from '/etc/passwd'", "", "select 1; select 2"):
        assert "error:" in squire.fails(2, "history", "sql", query)
        assert "error:" in squire.fails(2, "history", "sql", query, "--parquet", str(tmp_path / "a.parquet"))
    assert not (tmp_path / "a.parquet").exists()
    assert "exclude each other" in squire.fails(2, "history", "sql", "select 1", "--csv", "--json")


def test_an_error_is_told_with_its_place(squire: Squire, samples: SampleData) -> None:
    assert samples
    squire.ok("history", "publish")
    output = squire.fails(2, "history", "sql", "select id,\n stauts from tasks")
    assert 'column "stauts" not found' in output
    assert "LINE 2:  stauts from tasks\n         ^^^^^^\n" in output


def test_a_warehouse_that_is_not_there_yet_is_told(squire: Squire, tmp_path: Path) -> None:
    for words in (("sql", "select 1"), ("shell",), ("report",), ("export", str(tmp_path / "lake"))):
        assert "squire history publish" in squire.fails(1, "history", *words)
    result = squire("history", "path")
    assert result.stdout.strip() == str(squire.home / "warehouse.duckdb")
    assert "not been published yet" in result.stderr


def test_columns_named_twice_keep_their_values() -> None:
    assert unique_names(["a", "a", "b", "A", ""]) == ["a", "a_2", "b", "A_3", "column"]


# ── The shell ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_the_shell_reads_a_script(squire: Squire, samples: SampleData) -> None:
    samples.task("Fix it")
    squire.ok("history", "publish")
    script = ".mode csv\nselect title,\n  ';' as mark -- a comment;\nfrom tasks;\n"
    script += ".mode json\nselect 1 as a; select 2 as b;\n"
    output = squire.ok("history", "shell", stdin=script + ".limit 1\n.mode line\nfrom range(2);\nselect 7 as last")
    assert "title,mark\nFix it,;\n" in output
    assert '[\n  {"a": 1}\n]' in output
    assert '[\n  {"b": 2}\n]' in output
    assert "range: 0" in output
    assert "range: 1" not in output
    assert output.endswith("last: 7\n")
    assert "tasks" in squire.ok("history", "shell", stdin=".tables\n.help\n")
    assert "owner/name." in squire.ok("history", "shell", stdin=".schema tasks\n.quit\nnonsense;\n")


@pytest.mark.parametrize(
    "script", ["nonsense;", "drop table tasks;", "from read_text('/etc/passwd');", ".nonsense", ".schema it's"]
)
def test_a_script_ends_at_its_first_error(squire: Squire, samples: SampleData, script: str) -> None:
    assert samples
    squire.ok("history", "publish")
    result = squire("history", "shell", stdin=f"{script}\nselect 'after';\n")
    assert result.exit_code == 2
    assert "after" not in result.stdout


class Terminal:
    """`squire history shell` on a terminal."""

    def __init__(self, squire: Squire) -> None:
        self.left = ""
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "squire_pipelines.cli", "history", "shell"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "SQUIRE_HOME": str(squire.home), "TERM": "dumb", "COLUMNS": "120"},
            preexec_fn=_own_terminal,  # noqa: PLW1509 - no other thread runs in this test
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def works_for(self, seconds: float) -> None:
        """Wait until the process has used so much more of the processor."""
        begun = self._used_s()
        deadline = time.monotonic() + 60
        while self._used_s() < begun + seconds:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def _used_s(self) -> float:
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()  # queries run in a child
        stats = [Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split() for number in (pid, *children)]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")

    def until(self, expected: str, timeout_s: float = 90, *, every_s: float = 90, again: str = "") -> str:
        """What is shown up to `expected`; `again` is typed anew when nothing has come for `every_s`."""
        seen, self.left = self.left, ""
        deadline = time.monotonic() + timeout_s
        while expected not in seen:
            ready, _, _ = select.select([self.master], [], [], every_s)
            assert ready or time.monotonic() < deadline, f"{expected!r} did not come, but {seen!r}"
            if ready:
                seen += os.read(self.master, 65536).decode(errors="replace")
            elif again:
                self.type(again)
        shown, end, self.left = seen.partition(expected)  # more may have come with it
        return shown + end

    def interrupted(self, expected: str) -> str:
        """Ctrl-C, and what is shown then. A prompt that was only just written may miss it, as it may a person's."""
        self.type("\x03")
        return self.until(expected, every_s=2, again="\x03")


def _own_terminal() -> None:
    import fcntl  # noqa: PLC0415 - in the child only
    import termios  # noqa: PLC0415 - likewise

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def terminal(squire: Squire, samples: SampleData) -> Iterator[Terminal]:
    samples.task("Fix it")
    squire.ok("history", "publish")
    (squire.home / "history-shell").write_text("select 1;\n" * (KEPT_LINES + 100), encoding="utf-8")
    shown = Terminal(squire)
    yield shown
    shown.process.kill()
    shown.process.wait(timeout=10)
    os.close(shown.master)


@pytest.mark.slow
def test_a_conversation_at_a_terminal(terminal: Terminal, squire: Squire, samples: SampleData) -> None:
    terminal.until("squire> ")
    terminal.type("select count(*) as tasks\n")
    terminal.until("...> ")
    terminal.type("from tasks;\n")
    output = terminal.until("squire> ")
    assert "1 row, 0." in output

    terminal.type("selec 1;\n")
    output = terminal.until("squire> ")
    assert "syntax error" in output
    assert "^^^^^" in output
    terminal.type("from read_text('/etc/passwd');\n")
    assert "nothing else on this machine" in terminal.until("squire> ")
    terminal.type(".tables\n")
    assert "ci_red_time" in terminal.until("squire> ")

    # Ctrl-C breaks off the query and not the shell; at the prompt it drops what was typed.
    terminal.type("select count(*) from range(1_000_000_000_000) a(x) where x % 7 = 3;\n")
    terminal.works_for(0.3)
    assert "The query was stopped." in terminal.interrupted("squire> ")
    terminal.type("select 'half a query'\n")
    terminal.until("...> ")
    terminal.interrupted("squire> ")

    samples.task("Fix it too")
    squire.ok("history", "publish")
    terminal.type("select 'there are ' || count(*) as said from tasks;\n")
    output = terminal.until("there are 2")
    assert "a new warehouse has been published" in output
    terminal.until("squire> ")
    terminal.type(".quit\n")
    assert terminal.process.wait(timeout=20) == 0
    kept = squire.home / "history-shell"
    assert "there are" in kept.read_text()
    assert len(kept.read_text().splitlines()) == KEPT_LINES
    assert kept.stat().st_mode & 0o777 == 0o600


def test_the_end_of_input_ends_the_shell(terminal: Terminal) -> None:
    terminal.until("squire> ")
    terminal.type("\x04")
    assert terminal.process.wait(timeout=20) == 0


# ── Export and report ──────────────────────────────────────────────────────────────────────────────────────────────


def test_export_writes_a_file_per_table_and_day(squire: Squire, samples: SampleData, tmp_path: Path) -> None:
    samples.task("Fix it")
    squire.ok("history", "publish")
    document = squire.json("history", "export", str(tmp_path / "lake"), "--tables", "tasks, plans", "--since", "2d")
    assert [file["table"] for file in document["files"]] == ["tasks", "plans"]
    assert "wrote 2 files" in squire.ok("history", "export", str(tmp_path / "lake"), "--tables", "tasks,plans")
    assert "no table 'nonsense'" in squire.fails(1, "history", "export", str(tmp_path), "--tables", "nonsense")
    assert "is not a time" in squire.fails(2, "history", "export", str(tmp_path), "--since", "yesterday")


@pytest.mark.slow
def test_report_says_the_same_in_every_form(squire: Squire, samples: SampleData, tmp_path: Path) -> None:
    fill(samples.ledger, days=10, tasks=60)
    squire.ok("history", "publish")
    numbers = squire.json("history", "report", "--since", "12d")
    output = squire.ok("history", "report", "--since", "12d")
    assert f"{numbers['totals']['succeeded']} succeeded" in output
    assert "Why attempts failed" in output
    page = tmp_path / "report.html"
    assert "wrote" in squire.ok("history", "report", "--since", "12d", "--html", str(page))
    assert f"{numbers['totals']['succeeded']} succeeded" in page.read_text()
    assert "--html FILE" in squire.fails(2, "history", "report", "--open")
    assert "exclude" in squire.fails(2, "history", "report", "--json", "--html", str(page))
    assert "no span of time" in squire.fails(1, "history", "report", "--since", "2099-01-01")
    assert "cannot be written" in squire.fails(1, "history", "report", "--html", str(tmp_path / "none" / "a.html"))
