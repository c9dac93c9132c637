"""The examples of deploy/logs against lines as they are written: they parse, and what they name is in the lines."""

import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from squire_pipelines import __version__
from squire_pipelines.domain.log_lines import CONTEXT, LineOrigin, line_time, parse_line
from squire_pipelines.machine_name import MACHINE_VARIABLE
from squire_pipelines.observability.logging import Component, LineFormat, bound_context, get_logger, set_format
from tests.support.alloy import Value, read_alloy
from tests.support.logs import lines

EXAMPLES = Path(__file__).parents[3] / "deploy" / "logs"
IDS = {"trace_id": "ab" * 16, "task_id": "t1", "attempt_id": "t1-1", "delivery_id": "d1", "repository": "acme/shop"}


@pytest.fixture(autouse=True)
def _format_of_the_process() -> Iterator[None]:
    yield
    set_format(None)


def written(stream: io.StringIO, line_format: LineFormat) -> dict[str, Any]:
    """A line with everything that one may have."""
    set_format(line_format)
    with bound_context(**IDS):
        try:
            float("it does not fit")
        except ValueError:
            get_logger(Component.AGENT).exception("agent.failed", exit_code=3, causes=["a", {"b": 1}])
    return lines(stream)[-1]


def texts(value: Value) -> dict[str, Value]:
    assert isinstance(value, dict)
    return value


def test_each_line_names_its_machine(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(stream, "json")["machine"] == os.uname().nodename
    monkeypatch.setenv(MACHINE_VARIABLE, "worker-2")
    assert written(stream, "json")["machine"] == "worker-2"
    assert written(stream, "ecs")["service.node.name"] == "worker-2"


def test_lines_of_the_elastic_common_schema_have_its_fields_in_its_order(stream: io.StringIO) -> None:
    line = written(stream, "ecs")
    assert list(line)[:4] == ["@timestamp", "log.level", "message", "ecs.version"]
    stack = line.pop("error.stack_trace")
    assert stack.startswith("Traceback (most recent call last):")
    assert stack.endswith("ValueError: could not convert string to float: 'it does not fit'")
    assert line.pop("@timestamp").endswith("Z")
    host = os.uname().nodename
    assert line == {
        "log.level": "error",
        "message": "agent.failed",
        "ecs.version": "8.17.0",
        "service.name": "squire",
        "service.version": __version__,
        "service.node.name": host,
        "host.name": host,
        "process.pid": os.getpid(),
        "error.type": "ValueError",
        "error.message": "could not convert string to float: 'it does not fit'",
        "event.dataset": "squire.agent",
        "trace.id": IDS["trace_id"],
        **{f"labels.{name}": value for name, value in IDS.items() if name != "trace_id"},
        "labels.exit_code": "3",
        "labels.causes": '["a", {"b": 1}]',
    }


def test_both_forms_of_a_line_are_read_alike(stream: io.StringIO) -> None:
    origin = LineOrigin("daemon", "run/daemon.log")
    parsed = {}
    for line_format in ("json", "ecs"):
        raw = json.dumps(written(stream, line_format)).encode()
        at = line_time(raw)
        assert at is not None
        parsed[line_format] = parse_line(raw, 0.0, origin)
    of_json, of_ecs = parsed["json"], parsed["ecs"]
    assert of_ecs.context == of_json.context == IDS
    assert (of_ecs.text, of_ecs.level, of_ecs.component) == ("agent.failed", "error", "agent")
    assert set(of_ecs.values) == set(of_json.values) == {"exit_code", "causes", "exception"}


def test_the_example_for_loki_labels_what_has_few_values_and_keeps_ids_beside_the_line(stream: io.StringIO) -> None:
    config = read_alloy((EXAMPLES / "squire.alloy").read_text("utf-8"))
    by_kind = {block.name: block for block in config.blocks}
    names = {f"{block.name}.{block.label}" for block in config.blocks}
    referred = re.findall(r"\b(\w+(?:\.\w+){1,2}\.squire)\.\w+", (EXAMPLES / "squire.alloy").read_text("utf-8"))
    assert set(referred) <= names
    process = by_kind["loki.process"]
    taken = texts(process.only("stage.json").attributes["expressions"])
    line = written(stream, "json")
    assert set(taken) <= set(line)
    labels = texts(process.only("stage.labels").attributes["values"])
    assert set(labels) == {"level", "component", "machine"}
    kept = texts(process.only("stage.structured_metadata").attributes["values"])
    assert set(kept) == set(CONTEXT)
    assert {*labels, *kept, str(process.only("stage.timestamp").attributes["source"])} == set(taken)


def test_the_process_is_taken_from_the_files_name() -> None:
    config = read_alloy((EXAMPLES / "squire.alloy").read_text("utf-8"))
    (relabel,) = (block for block in config.blocks if block.name == "discovery.relabel")
    pattern = str(relabel.only("rule").attributes["regex"]).replace("\\\\", "\\")
    match = re.fullmatch(pattern, "/home/squire/run/code-server.log")
    assert match is not None
    assert match[1] == "code-server"


def test_the_example_for_elasticsearch_takes_lines_as_documents(stream: io.StringIO) -> None:
    config = yaml.safe_load((EXAMPLES / "filebeat.yml").read_text("utf-8"))
    (files,) = config["filebeat.inputs"]
    (parser,) = files["parsers"]
    assert parser["ndjson"]["expand_keys"]
    assert parser["ndjson"]["overwrite_keys"]
    line = written(stream, "ecs")
    conditions = [step["if"]["not"]["has_fields"] for step in config["processors"] if "if" in step]
    assert [name for names in conditions for name in names if name not in line] == []
    assert {path.rpartition("/")[0] for path in files["paths"]} == {"${SQUIRE_HOME}/run"}


@pytest.mark.parametrize("text", ["a {", "a { b = }", 'a "b" { c = [1 }', "a = {'b' = 1}"])
def test_what_is_no_configuration_of_alloy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"where one of|no word"):
        read_alloy(text)
