"""Answers that come by a pipe."""

import os

import pytest

from squire_pipelines.cli.person import piped_answer


def test_each_line_of_a_pipe_is_an_answer_also_while_it_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb", buffering=0) as writer:
        monkeypatch.setattr("sys.stdin", stdin)
        writer.write(b"acme/shop\r\nacme/api\n\nlast")
        assert [piped_answer() for _ in range(3)] == ["acme/shop", "acme/api", ""]
        writer.close()
        assert [piped_answer(), piped_answer()] == ["last", None]


def test_a_closed_input_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert piped_answer() is None
