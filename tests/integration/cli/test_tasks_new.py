import io
import string

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from squire_pipelines.cli.request_options import read_text
from squire_pipelines.domain.agent_choice import AgentOrder
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import Priority, TaskKind, TaskStatus
from squire_pipelines.ledger import collections, tasks
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.tables import task_dependencies
from squire_pipelines.ledger.tasks import Task
from tests.support.cli import REPOSITORY, SampleData, Squire

SETTINGS = f'repositories = ["{REPOSITORY}"]\n'
WITH_MODEL = SETTINGS + '[planner]\nkind = "llm"\nmodel = "openai:gpt-5"\n'


def asked(squire: Squire, samples: SampleData, *words: str) -> Task:
    """Ask for a task by command and return its row."""
    made = squire.json("tasks", "new", REPOSITORY, *words)
    task: Task = samples.read(tasks.get, made["id"])
    assert {name: made[name] for name in ("title", "branch", "trace_id")} == {
        name: getattr(task, name) for name in ("title", "branch", "trace_id")
    }
    return task


@pytest.mark.parametrize("text", [SETTINGS, WITH_MODEL])
def test_a_request_is_a_task_at_once_word_for_word_with_and_without_a_model(
    squire: Squire, samples: SampleData, text: str
) -> None:
    squire.config(text)
    words = "Fix it:\n\n\t- the parser\n  - the  *printer*, for می‌خواهم and 👩‍👧"
    task = asked(squire, samples, words)
    assert (task.spec.prompt, task.title) == (words, "Fix it:")
    assert (task.status, task.kind, task.priority) == (TaskStatus.READY, TaskKind.MANUAL, Priority.HIGH)
    assert (task.base_branch, task.plan_id, task.spec.signals) == ("HEAD", None, ())
    assert samples.read(collections.active_signals, REPOSITORY) == ()
    assert squire.json("webhooks", "list") == []


_WORDS = st.text(alphabet=string.printable.replace("\r", "").replace("\x0b", "").replace("\x0c", ""), max_size=200)


@given(before=st.sampled_from(["", "\n", " \n\n"]), words=_WORDS, after=st.sampled_from(["", "\n", " \n "]))
@settings(max_examples=200)
def test_no_printable_text_is_changed_but_for_the_white_space_around_it(before: str, words: str, after: str) -> None:
    core = words.strip()
    if not core or core == "-":
        return
    assert read_text(f"{before}{core}{after}", None) == core
    assert read_text(None, f"{before}{core}{after}") == core


def test_a_terminals_control_sequences_are_no_words() -> None:
    assert read_text("Tidy \x1b[1mup\x1b[0m\x00\r\nnow\r\n", None) == "Tidy up\nnow"


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_text_that_is_no_utf8_is_refused_and_not_cut(monkeypatch: pytest.MonkeyPatch, errors: str) -> None:
    latin = "Größe".encode("latin-1")
    with pytest.raises(click.BadParameter, match="no UTF-8"):
        read_text(latin.decode(errors="surrogateescape"), None)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(latin), encoding="utf-8", errors=errors))
    with pytest.raises(click.BadParameter, match="no UTF-8"):
        read_text("-", None)


def test_the_command_names_the_task_and_the_next_step(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    output = squire.ok("tasks", "new", "https://github.com/Acme/Shop.git", "--prompt", "-", stdin="Tidy up\n")
    (row,) = squire.json("tasks", "list")
    assert output.startswith(f"{row['id']}: ready\n")
    assert "squire run" in output
    (event,) = samples.read(tasks.events, row["id"])
    assert event.actor.startswith("cli:")
    assert (row["repository"], event.reason) == (REPOSITORY, "asked for")
    (entry,) = [entry for entry in samples.read(audit_page, limit=10) if entry.action == "tasks.new"]
    assert (entry.subject, entry.actor) == (row["id"], event.actor)
    assert "the default branch" in squire.ok("tasks", "show", row["id"])


@pytest.mark.parametrize(
    ("settings_text", "words", "status"),
    [
        (SETTINGS, (), "ready"),
        (SETTINGS, ("--no-start",), "proposed"),
        (SETTINGS + '[planner]\napprove = "manual"\n', (), "proposed"),
        (SETTINGS + "[planner]\nmin_confidence = 1.0\n", (), "ready"),
    ],
)
def test_it_starts_as_the_settings_say_and_can_be_held(
    squire: Squire, settings_text: str, words: tuple[str, ...], status: str
) -> None:
    squire.config(settings_text)
    made = squire.json("tasks", "new", REPOSITORY, "Tidy", *words)
    assert made["status"] == status
    if status == "proposed":
        squire.ok("tasks", "start", made["id"])
        (row,) = squire.json("tasks", "list")
        assert row["status"] == "ready"


def test_what_a_person_says_of_the_task_is_kept(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    first = asked(squire, samples, "First")
    options = ("--branch", "my-fix", "--base", "release/1", "--depends-on", first.id, "--priority", "low")
    task = asked(
        squire, samples, "Then", "--title", "A title", "--allow-protected", "uv.lock", "--leave-out", "lint", *options
    )
    assert (task.branch, task.base_branch, task.priority) == ("squire/my-fix", "release/1", Priority.LOW)
    assert (task.title, task.spec.prompt, task.spec.allow_protected) == ("A title", "Then", ("uv.lock",))
    assert task.spec.verification.left_out == ("lint",)
    with samples.ledger.read() as tx:
        assert tx.execute(select(task_dependencies)).all() == [(task.id, first.id)]


def test_the_title_is_the_texts_first_line(squire: Squire, samples: SampleData) -> None:
    samples.reading()
    squire.ok("tasks", "new", "ACME/shop", "-", stdin="\n  " + "long " * 40 + "\nmore\n")
    (row,) = squire.json("tasks", "list")
    assert row["title"].endswith("…")
    assert len(row["title"]) == 80


def test_two_requests_of_the_same_words_are_two(squire: Squire) -> None:
    squire.config(SETTINGS)
    ids = {squire.json("tasks", "new", REPOSITORY, "Again")["id"] for _ in range(2)}
    assert len(ids) == 2


def test_a_second_wording_is_named_as_such_and_made_all_the_same(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    finished = samples.ended(Cause.COMPLETED, "Drop support for Python 3.9")
    again = squire("tasks", "new", REPOSITORY, "Remove Python 3.9 support")
    assert again.exit_code == 0, again.output
    warning = " ".join(again.stderr.split())
    assert f"says nearly the same as the task {finished} 'Drop support for Python 3.9' (succeeded)" in warning
    (first, second) = squire.json("tasks", "list")
    assert finished == second["id"]
    assert f"`squire tasks cancel {first['id']}` takes it back" in warning
    made = squire.json("tasks", "new", REPOSITORY, "Drop Python 3.9 support")
    assert made["resembles"] == [
        {"kind": "task", "name": first["id"], "title": "Remove Python 3.9 support", "status": "ready"},
        {"kind": "task", "name": finished, "title": "Drop support for Python 3.9", "status": "succeeded"},
    ]


def test_other_work_is_not_named(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    samples.ended(Cause.COMPLETED, "Drop support for Python 3.9")
    samples.task("Rename the package", repository="acme/other")
    for words in ("Drop support for Python 3.10", "Enable the linter in CI", "Rename the package"):
        assert squire.json("tasks", "new", REPOSITORY, words)["resembles"] == []


def test_an_open_pull_request_of_anybody_is_named(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    samples.open_pull_request("Speed up the CSV parser", number=31)
    made = squire.json("tasks", "new", REPOSITORY, "Make the CSV parser faster", "--base", "feature-31")
    assert made["resembles"] == []
    made = squire.json("tasks", "new", REPOSITORY, "Speed up parsing of CSV")
    named = {work["name"]: work for work in made["resembles"]}
    assert named["#31"] == {
        "kind": "open pull request",
        "name": "#31",
        "title": "Speed up the CSV parser",
        "status": None,
    }


def test_no_two_tasks_have_one_branch(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    first = asked(squire, samples, "x", "--branch", "squire/mine")
    assert first.id in squire.fails(5, "tasks", "new", REPOSITORY, "y", "--branch", "mine")


def test_what_would_be_cancelled_at_once_is_refused(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    first = asked(squire, samples, "x")
    squire.ok("tasks", "cancel", first.id)
    refused = squire.fails(5, "tasks", "new", REPOSITORY, "y", "--depends-on", first.id)
    assert f"squire tasks retry {first.id}" in refused


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("acme/none", "--prompt", "x"), 3, "not one of Squire's repositories"),
        (("nonsense", "--prompt", "x"), 2, "is not a repository name"),
        ((REPOSITORY, "--prompt", " \n"), 2, "the text is empty"),
        ((REPOSITORY, "\x1b[1m"), 2, "the text is empty"),
        ((REPOSITORY, "\u200b\u2060"), 2, "the text is empty"),
        ((REPOSITORY, "--prompt", "x" * 50_001), 2, "more than 50000 characters"),
        ((REPOSITORY, "--prompt", "x", "--title", " "), 2, "the title is empty"),
        ((REPOSITORY, "--prompt", "x", "--title", "t" * 201), 2, "more than 200 characters"),
        ((REPOSITORY,), 2, "say what is to be done"),
        ((REPOSITORY, "x", "--prompt", "y"), 2, "say what is to be done"),
        ((REPOSITORY, "x", "--depends-on", "t0"), 1, "there is no task 't0'"),
        ((REPOSITORY, "x", "--priority", "soon"), 2, "'soon' is not one of"),
        ((REPOSITORY, "x", "--allow-protected", ""), 2, "a pattern is a path below the repository's folder"),
        (
            (f"https://gitlab.com/{REPOSITORY}", "x"),
            2,
            "is on gitlab.com, and Squire works on the repositories of github",
        ),
        ((f"git@codeberg.org:{REPOSITORY}.git", "x"), 2, "is on codeberg.org"),
        ((REPOSITORY, "x", "--base", "a..b"), 2, "is no name for a branch"),
        ((REPOSITORY, "x", "--base", "b" * 256), 2, "has more than 255 characters"),
        ((REPOSITORY, "x", "--base", "HEAD"), 2, "is no name for a branch"),
        ((REPOSITORY, "x", "--branch", "b" * 120), 2, "more than 120 characters"),
    ],
)
def test_a_request_that_is_refused_leaves_the_ledger_as_it_was(
    squire: Squire, words: tuple[str, ...], code: int, reason: str
) -> None:
    squire.config(SETTINGS)
    assert reason in squire.fails(code, "tasks", "new", *words)
    assert squire.json("tasks", "list") == []


AGENTS = f"""
repositories = ["{REPOSITORY}"]
[providers.claude]
protocol = "anthropic"
models = ["opus"]
aliases = {{ best = "opus" }}
[providers.gpt]
protocol = "openai"
[agent]
provider = "gpt"
model = "mini"
[agents.claude-code]
provider = "claude"
model = "haiku"
[agents.fixer]
kind = "command"
command = ["true"]
"""


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (("--agent", "claude-code"), AgentOrder(agent="claude-code")),
        (("--agent", "claude-code", "--model", "best"), AgentOrder(agent="claude-code", model="best")),
        (("--agent", "codex"), AgentOrder(agent="codex")),
        (("--model", "mini"), AgentOrder(agent="opencode", model="mini")),
        ((), None),
    ],
)
def test_an_ordered_agent_is_kept_with_the_task(
    squire: Squire, samples: SampleData, words: tuple[str, ...], order: AgentOrder | None
) -> None:
    squire.config(AGENTS)
    assert asked(squire, samples, "--prompt", "x", *words).spec.agent == order


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--agent", "claud-code"), "there is no agent 'claud-code'; 'claude-code' is like it"),
        (("--agent", "claude-code", "--model", "gpt"), "may not call the model 'gpt'; it may call haiku, opus, best"),
        (("--model", "nano"), "write the model into models of [providers.gpt]"),
        (("--agent", "gemini"), "the agent gemini speaks gemini, and its provider openai"),
        (("--agent", "gemini", "--model", "any"), "the agent gemini speaks gemini, and its provider openai"),
        (("--agent", "fixer", "--model", "opus"), "the agent fixer calls no model"),
    ],
)
def test_an_agent_that_cannot_do_it_is_refused_at_once(squire: Squire, words: tuple[str, ...], reason: str) -> None:
    squire.config(AGENTS)
    assert reason in squire.fails(3, "tasks", "new", REPOSITORY, "--prompt", "x", *words)
    assert squire.json("tasks", "list") == []


def test_where_an_agent_may_call_no_model_none_is_offered(squire: Squire) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n[agent]\nkind = "command"\ncommand = ["true"]\n')
    words = ("--prompt", "x", "--agent", "codex", "--model", "gpt")
    refused = squire.fails(3, "tasks", "new", REPOSITORY, *words)
    assert "it may call none\nhint: write the model into gateway.models" in refused


@pytest.mark.parametrize(
    ("tables", "step"),
    [
        ("", 'write [providers.openai] with protocol = "openai" and [agents.codex] with provider = "openai"'),
        ('[providers.gpt]\nprotocol = "openai"\n', 'write [agents.codex] with provider = "gpt"'),
    ],
)
def test_an_agent_beside_the_usual_one_gets_a_provider_of_its_own(squire: Squire, tables: str, step: str) -> None:
    squire.config(
        f'repositories = ["{REPOSITORY}"]\n[agent]\nkind = "claude-code"\nprovider = "anthropic"\n'
        f'[providers.anthropic]\nprotocol = "anthropic"\n{tables}'
    )
    refused = squire.fails(3, "tasks", "new", REPOSITORY, "--prompt", "x", "--agent", "codex")
    assert step in " ".join(refused.split())
    assert "agent.provider" not in refused


def test_waiting_for_a_new_task_ends_with_it(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    with samples.ledger.write() as tx:  # as if it had been cancelled at once
        tx.execute(
            text(
                "CREATE TRIGGER end_at_once AFTER INSERT ON tasks BEGIN UPDATE tasks SET status = 'cancelled', "
                "ended_at = NEW.created_at WHERE id = NEW.id; END"
            )
        )
    result = squire("tasks", "new", REPOSITORY, "Tidy up", "--wait")
    assert (result.exit_code, "Tidy up: cancelled" in result.stdout) == (1, True)


@pytest.mark.parametrize("option", [("--no-start",), ("--at", "2040-01-01T09:00"), ("--every", "0 3 * * *")])
def test_what_does_not_start_now_is_not_waited_for(squire: Squire, option: tuple[str, ...]) -> None:
    squire.config(SETTINGS)
    assert "--wait" in squire.fails(2, "tasks", "new", REPOSITORY, "Tidy up", "--wait", *option)
