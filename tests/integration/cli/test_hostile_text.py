"""Every command that lists or shows something, on a ledger of generated text: what it writes acts upon no terminal."""

import json
from collections.abc import Iterator

import click
import pytest
from hypothesis import HealthCheck, given, settings

from squire_pipelines.cli.main import COMMANDS, cli
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.signals import Source
from tests.support.cli import SampleData, Squire
from tests.support.hostile_text import HOSTILE, hidden_characters
from tests.support.ledgers import empty_tables

NEEDS_MORE = {("webhooks", "tail"), *(("agents", word) for word in ("probe", "list", "check"))}
"""What goes on until it is ended, starts programs or asks an engine."""


def readers() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command that has `--json` and can be run without another word."""
    context = click.Context(cli)
    for name in COMMANDS:
        group = cli.get_command(context, name)
        if not isinstance(group, click.Group):
            continue
        for verb in group.list_commands(context):
            command = group.get_command(context, verb)
            assert command is not None
            required = [parameter for parameter in command.params if parameter.required]
            if any(parameter.name == "as_json" for parameter in command.params) and not required:
                yield name, verb


LISTS = tuple(words for words in readers() if words not in NEEDS_MORE)


def test_every_group_with_a_list_is_tried() -> None:
    assert {name for name, verb in LISTS if verb == "list"} >= {
        "tasks",
        "signals",
        "plans",
        "budgets",
        "webhooks",
        "audit",
    }


@pytest.mark.slow
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=HOSTILE.filter(lambda text: text.strip() and text.isprintable() is False))
def test_no_list_passes_on_what_a_terminal_acts_upon(squire: Squire, samples: SampleData, text: str) -> None:
    empty_tables(samples.ledger)  # a task that says nearly the same as an earlier text's is not made
    stored = text.encode("utf-8", "replace").decode().replace("\0", "")[:200]
    task_id = samples.ended(Cause.AGENT_ERROR, f"Fix {stored}", message=stored)
    samples.reading(title=f"Issue {stored}")
    samples.reading(Source.OPEN_PRS, error=f"failed {stored}")
    (plan, *_) = squire.json("plans", "list")
    commands = [*LISTS, ("tasks", "show", task_id), ("plans", "show", plan["id"]), ("tasks", "export")]
    for words in commands:
        for form in ((), ("--json",)) if words[1] != "export" else ((),):
            result = squire(*words, *form)
            assert hidden_characters(result.stdout + result.stderr) == [], (words, form)
            if form and result.exit_code == 0:
                json.loads(result.stdout)
