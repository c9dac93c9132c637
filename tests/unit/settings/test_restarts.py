"""Which settings need a restart: each is one, and all that Dagster's definitions are made of are among them."""

from typing import Any

import pytest
from pydantic import BaseModel

from squire_pipelines.definitions import build_defs
from squire_pipelines.sections.operation import PipelineSettings
from squire_pipelines.sections.signals import CollectionSettings
from squire_pipelines.sections.webhooks import WebhookSettings
from squire_pipelines.settings.keys import annotation_at, parse_key
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.restarts import RESTART_KEYS, Part, changed_restart_keys


class Recorder:
    """Settings that note which of them are read."""

    def __init__(self, section: BaseModel, path: str, read: set[str]) -> None:
        self._section, self._path, self._read = section, path, read

    def __getattr__(self, name: str) -> Any:
        value, path = getattr(self._section, name), f"{self._path}{name}"
        if isinstance(value, BaseModel):
            return Recorder(value, f"{path}.", self._read)
        self._read.add(path)
        return value


@pytest.mark.parametrize("key", RESTART_KEYS)
def test_each_key_is_a_setting(key: str) -> None:
    assert annotation_at(Settings, parse_key(key, Settings)) is not None
    assert RESTART_KEYS[key]


def test_all_that_the_definitions_are_made_of_is_among_them_or_taken_at_once() -> None:
    read: set[str] = set()
    build_defs(Recorder(Settings(), "", read))  # type: ignore[arg-type]  # it has all that is read
    # Of the last two only the links on assets' pages follow, which are those of the start until the next one.
    assert read - set(RESTART_KEYS) == {"logging.apply", "repositories", "board.public_url"}
    assert "collection.schedule" in read


def test_a_process_names_the_keys_that_it_was_started_with_and_nobody_elses() -> None:
    before = Settings()
    now = Settings(
        repositories=("acme/shop",),
        webhooks=WebhookSettings(port=9000),
        collection=CollectionSettings(time_zone="Europe/Zurich"),
        pipeline=PipelineSettings(webserver_port=3001),
    )
    assert changed_restart_keys(before, before, Part.DEV) == ()
    assert changed_restart_keys(before, now, Part.RECEIVER) == ("webhooks.port",)
    assert changed_restart_keys(before, now, Part.SENSORS) == ("collection.time_zone",)
    assert set(changed_restart_keys(before, now, Part.DEV)) == {
        "webhooks.port",
        "collection.time_zone",
        "pipeline.webserver_port",
    }
