"""What is planned for the old product's files, and which of them are refused before anything is changed."""

import os
import re
from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.migration.mapping import entries_of_config, entries_of_steward
from squire_pipelines.migration.places import OldPlaces
from squire_pipelines.migration.plan import MigrationPlan, make_plan
from squire_pipelines.settings.file import read_settings_file

TOKEN = "ghp_" + "fake" * 9
SLACK = "https://hooks.slack.invalid/services/" + "fake" * 6


def plan_of(folder: Path, stored: tuple[str, ...] = (), **environment: str) -> MigrationPlan:
    places = OldPlaces(folder, folder / "user", environment, mounted=folder / "none")
    return make_plan(places, read_settings_file(folder / "config.toml"), "", stored)


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError, match="nothing was changed") as refusal:
        plan_of(folder)
    assert refusal.value.hint
    assert int(refusal.value.exit_code) == 3
    assert TOKEN not in str(refusal.value)
    return refusal.value.message


def test_without_old_files_there_is_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()  # a virtual environment of that name
    plan = plan_of(tmp_path)
    assert plan.is_empty
    assert plan.rows == []


def test_the_first_file_counts_as_in_the_old_product_and_all_lose_their_tokens(tmp_path: Path) -> None:
    (tmp_path / "squire.config.json").write_text(f'{{"maxConcurrent": 0, "model": "", "githubToken": "{TOKEN}"}}')
    (tmp_path / "user/.squire").mkdir(parents=True)
    (tmp_path / "user/.squire/config.json").write_text('{"maxConcurrent": 8, "githubToken": "another-token"}')
    plan = plan_of(tmp_path, SQUIRE_MAX_CONCURRENT="6")
    assert plan.secrets == {"github-token": TOKEN}
    assert plan.settings == [(("dispatch", "max_concurrent"), 6)]
    assert [edit.after for edit in plan.edits] == [
        b'{"maxConcurrent": 0, "model": ""}',
        b'{"maxConcurrent": 8}',
    ]
    assert TOKEN not in repr(plan)


def test_a_file_whose_only_entry_is_the_token_goes_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "squire.config.json").write_text(f'{{"$schema": "./x.json", "githubToken": "{TOKEN}"}}')
    assert [edit.after for edit in plan_of(tmp_path).edits] == [None]


def test_own_settings_stay(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[collection]\nschedule = "0 * * * *"\n[planner]\nbase_url = "http://x/v1"\n')
    (tmp_path / "steward.yaml").write_text("llm: {model: openai/x}\nschedule: {interval: 30m, timezone: UTC}\n")
    plan = plan_of(tmp_path)
    assert plan.is_empty
    assert [row.note for row in plan.rows] == [
        "not written: config.toml sets it already",
        "not written: config.toml sets it already",
        "not written: it is the default here",
    ]


def test_variables_of_the_environment_are_sealed_and_those_of_other_programs_stay(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, AI_GATEWAY_API_KEY="a-key-of-mine", GITHUB_TOKEN=TOKEN, SQUIRE_BACKEND="podman")
    assert plan.secrets == {"ai-gateway-key": "a-key-of-mine"}
    notes = {row.entry: row.note for row in plan.rows}
    assert "remove the variable" in notes["AI_GATEWAY_API_KEY"]
    assert notes["GITHUB_TOKEN"].startswith("stays")
    assert notes["SQUIRE_BACKEND"].startswith("no equivalent: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("// mine\n{}", "line 1, column 1"),
        (f'{{"githubToken": "{TOKEN}" "x": 1}}', "line 1, column"),
        ("[1]", "no object"),
        ('{"githubToken": 5}', "githubToken is no text"),
        ('{"maxConcurrent": "many"}', "maxConcurrent cannot be taken over: .*dispatch.max_concurrent"),
        ('{"maxConcurrent": 5000}', "less than or equal to 1000"),
        ("[" * 100_000, "no JSON that can be read"),
        (f'{{"x": "{"y" * 5_000_000}"}}', "bytes, more than"),
    ],
)
def test_a_file_of_settings_that_cannot_be_taken_over_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "squire.config.json").write_text(text)
    message = refused(tmp_path)
    assert str(tmp_path / "squire.config.json") in message
    assert re.search(reason, message)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a [x]\nb: [*a, *a]\n", "line 2 has an alias"),
        ("a: [1\n", "line 2, column 1"),
        ("a: !!python/object/apply:os.system [true]\n", "could not determine a constructor"),
        ("- a\n", "no mapping of names"),
        ("a: " + "[" * 60 + "]" * 60, "deeper or longer"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        ("a: \x07\n", "no YAML"),
        ("x: y\n" * 40_000, "more than 131072 bytes"),
        ("schedule: {interval: 1:30}\n", "no span like 30m"),
        ("schedule: {interval: 30s}\n", "interval_s"),
        ("signals: [1]\n", "signals is no table"),
        (f"execution: {{squire: {{max_concurrent: 0x{'f' * 9000}}}}}\n", "line 1 has a number of too many digits"),
        ("schedule: {timezone: Mars/North}\n", "schedule.timezone cannot be taken over"),
    ],
)
def test_a_file_of_stewards_that_cannot_be_taken_over_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "steward.yaml").write_text(text)
    assert reason in refused(tmp_path)


def test_a_webhooks_address_over_several_lines_goes_and_the_lines_below_it_stay(tmp_path: Path) -> None:
    before = f"notify:\n  # was {SLACK}\n  slack:\n    webhook: |\n      {SLACK}\n  telegram: {{chat: 1}}\nllm: {{}}\n"
    (tmp_path / "steward.yaml").write_text(before)
    (edit,) = plan_of(tmp_path).edits
    assert edit.after == b'notify:\n  slack:\n    webhook: ""\n  telegram: {chat: 1}\nllm: {}\n'


def test_a_number_that_reads_like_a_secret_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "steward.yaml").write_text("notify: {slack: {webhook: '12345678'}}\nport: 12345678\n")
    (edit,) = plan_of(tmp_path).edits
    assert edit.after == b'notify: {slack: {webhook: ""}}\nport: 12345678\n'


def test_a_file_of_stewards_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "steward.conf").write_text(f"notify: {{slack: {{webhook: '{SLACK}'}}}}\n")
    (edit,) = plan_of(tmp_path, STEWARD_CONFIG_PATH="steward.conf").edits
    assert edit.after == b'notify: {slack: {webhook: ""}}\n'


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        (".env", f"GITHUB_TOKEN={TOKEN}\nREMOTE=https://x:{TOKEN}@git.invalid/a\n", 1),
        (".env", f"A=1\n# GITHUB_TOKEN={TOKEN}\n", 2),
        ("squire.config.json", f'{{"githubToken": "{TOKEN}",\n"notes": "{TOKEN}"}}', 1),
        ("squire.config.json", f'{{"model": "openai/x",\n"forge": {{"githubToken": "{TOKEN}"}}}}', 2),
        ("steward.yaml", f"llm: {{model: x}}\ngithub_token: {TOKEN}\n", 2),
    ],
)
def test_a_secret_that_stays_in_plain_text_is_told_with_its_line(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    (tmp_path / name).write_text(text)
    plan = plan_of(tmp_path)
    assert [(path, number) for path, number, _ in plan.remains] == [(tmp_path / name, line)]
    (row,) = [row for row in plan.rows if row.entry == f"line {line}"]
    assert "take it out yourself" in row.note
    assert TOKEN not in row.note


def test_secrets_of_other_programs_in_a_file_of_variables_are_not_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=postgres://a:password@c/d\n# GITHUB_TOKEN=your-token-here\n")
    assert plan_of(tmp_path).rows == []


def test_blanks_are_no_secret_as_in_the_old_product(tmp_path: Path) -> None:
    (tmp_path / "squire.config.json").write_text('{"githubToken": "  "}')
    assert plan_of(tmp_path).is_empty


@pytest.mark.parametrize(
    ("name", "text"),
    [("squire.config.json", '{"skillsDir": "a\\u0000b"}'), ("steward.yaml", 'goals: [{path: "a\\0b"}]\n')],
)
def test_a_path_with_a_nul_in_it_names_nothing(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert "not there" in plan_of(tmp_path).rows[0].note or "is there" in plan_of(tmp_path).rows[0].note


@pytest.mark.parametrize(
    ("name", "text"), [("squire.config.json", '{"tasksDir": "kept"}'), (".env", "SQUIRE_TASKS_DIR=kept\n")]
)
def test_tasks_are_where_the_old_settings_name_them(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/a.json").write_text("{}")
    (tmp_path / name).write_text(text)
    assert plan_of(tmp_path).task_places == (tmp_path / "kept",)


def test_a_variable_with_an_open_quote_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f'GITHUB_TOKEN="{TOKEN}\nrest"\n')
    assert "line 1: the value of GITHUB_TOKEN is no single line" in refused(tmp_path)


def test_a_file_that_may_not_be_changed_is_refused(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text(f"GITHUB_TOKEN={TOKEN}\n")
    (tmp_path / ".env").symlink_to(real)
    assert "it is a symbolic link" in refused(tmp_path)
    real.write_text("OTHER=1\n")
    assert plan_of(tmp_path).is_empty
    (tmp_path / ".env").unlink()
    real.write_text(f"GITHUB_TOKEN={TOKEN}\n")
    (tmp_path / ".env").hardlink_to(real)
    assert "it has another name" in refused(tmp_path)
    (tmp_path / ".env").unlink()
    os.mkfifo(tmp_path / ".env")
    assert "no regular file" in refused(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to somebody else")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"GITHUB_TOKEN={TOKEN}\n")
    os.chown(tmp_path / ".env", 4242, -1)
    assert "belongs to the user" in refused(tmp_path)


def test_each_entry_of_the_old_settings_is_known() -> None:
    names = ("githubToken", "model", "tasksDir", "workerImage", "skillsDir", "maxConcurrent", "autoCleanup")
    values = {name: 2 if name == "maxConcurrent" else "x/y" for name in (*names, "containerRuntime")}
    entries = {entry.name: entry for entry in entries_of_config({**values, "colour": "red"}, "the file")}
    assert entries.keys() == {*values, "colour"}
    assert {name for name, entry in entries.items() if entry.reason.endswith("no such entry")} == {"colour"}


def test_goals_of_files_and_texts_are_joined(tmp_path: Path) -> None:
    (tmp_path / "goals.md").write_text("Ship it.\n")
    values = {"goals": [{"path": "./goals.md"}, {"path": "gone.md"}, {"text": "Keep it green."}], "telemetry": 1}
    entries = list(entries_of_steward(values, "steward.yaml", tmp_path))
    assert [entry.name for entry in entries] == ["goals, number 2", "goals", "telemetry"]
    assert entries[1].settings == ((("planner", "goals"), "Ship it.\n\nKeep it green."),)
