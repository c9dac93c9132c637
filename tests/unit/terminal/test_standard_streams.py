"""What is written in place of characters that a terminal's encoding lacks."""

import errno
import io
import os
import sys

import click
import pytest

from squire_pipelines.terminal.standard_streams import accept_any_encoding, in_ascii, is_reader_gone


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("a → b … ✓ ✗ — “x”", 'a -> b ... + x - "x"'),
        ("┌─┬━┐│║└┴┘", "+-+-+||+++"),
        ("█░⠋ é 日", "##* ? ?"),
        ("plain", "plain"),
    ],
)
def test_signs_have_readable_ones_in_their_place(text: str, ascii_text: str) -> None:
    assert in_ascii(text) == ascii_text


@pytest.mark.parametrize(
    ("encoding", "written"), [("ascii", b"-> ?"), ("latin-1", b"-> \xe9"), ("utf-8", "→ é".encode())]
)
def test_a_stream_writes_what_its_encoding_has_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, encoding: str, written: bytes
) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
    accept_any_encoding()
    sys.stdout.write("→ é")
    sys.stdout.flush()
    assert content.getvalue() == written


def test_a_broken_connection_is_no_reader_that_has_gone() -> None:
    assert not is_reader_gone(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
    assert not is_reader_gone(OSError(errno.ENOSPC, "full"))


def test_click_writes_into_a_stream_of_ascii_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding="ascii"))
    accept_any_encoding()
    click.echo("a → b")
    assert content.getvalue() == b"a -> b\n"
