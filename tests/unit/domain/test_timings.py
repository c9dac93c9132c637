"""Seconds by part."""

import pytest
from pydantic import ValidationError

from squire_pipelines.domain.timings import Timings


def test_only_known_parts_are_kept() -> None:
    assert Timings(create_s=0.5).model_dump(mode="json") == Timings(create_s=0.5).parts() == {"create_s": 0.5}


def test_later_parts_are_added_and_replace_earlier_ones() -> None:
    timings = Timings(mirror_s=1, create_s=2).with_parts({"create_s": 3, "agent_s": 4})
    assert timings == Timings(mirror_s=1, create_s=3, agent_s=4)


def test_a_part_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ValidationError):
        Timings().with_parts({"lunch_s": 3600})
