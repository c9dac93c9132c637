from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.evidence import MAX_LOG_BYTES, MAX_LOG_LINES
from squire_pipelines.github.evidence.logs import LINES_AFTER, LINES_BEFORE, LogExcerpt, fit, plain_line
from squire_pipelines.secrets.redact import Redactor

SECRET = "hunter2-and-more-of-it"
REDACT = Redactor([SECRET]).redact


def excerpt_of(*chunks: bytes, **options: datetime | None) -> tuple[str, int]:
    excerpt = LogExcerpt(REDACT, **options)  # type: ignore[arg-type] # times alone
    for chunk in chunks:
        assert excerpt.feed(chunk)
    return excerpt.result()


def numbered(first: int, last: int) -> str:
    return "".join(f"line {number}\n" for number in range(first, last))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xef\xbb\xbf2026-11-01T10:00:00.1234567Z hello\r", "hello"),
        (b"2026-11-01T10:00:00Z \x1b[31;1mred\x1b[0m and \x1b]8;;https://x\x07link\x1b]8;;\x07", "red and link"),
        (b"2026-11-01T10:00:00.1Z ##[group]Run tests", "Run tests"),
        (b"  5%\r 50%\r100% done\r", "100% done"),
        (b"caf\xe9 \xff\xfe", "caf\ufffd \ufffd\ufffd"),
        (b"a\x00b\x08c\tz\xe2\x80\x8b", "abc\tz"),
        (b"2026-13-41T10:00:00Z no such day", "no such day"),
        ("\u65e5\u672c\u8a9e \u2713".encode(), "\u65e5\u672c\u8a9e \u2713"),
    ],
)
def test_line_is_as_a_terminal_leaves_it(raw: bytes, text: str) -> None:
    assert plain_line(raw)[1] == text


def test_part_around_the_first_error_is_kept_and_what_is_left_out_is_told() -> None:
    log = numbered(0, 1000) + "AssertionError: 1 != 2\n" + numbered(1000, 5000) + "the end\n"
    text, left_out = excerpt_of(log.encode())
    lines = text.split("\n")
    assert lines[LINES_BEFORE] == "AssertionError: 1 != 2"
    assert lines[:LINES_BEFORE] == [f"line {number}" for number in range(1000 - LINES_BEFORE, 1000)]
    assert lines[LINES_BEFORE + LINES_AFTER] == f"line {1000 + LINES_AFTER - 1}"
    assert lines[LINES_BEFORE + LINES_AFTER + 1].startswith("… (")
    assert lines[-1] == "the end"
    assert len(lines) == MAX_LOG_LINES
    assert left_out == 5002 - (MAX_LOG_LINES - 1)


def test_short_log_is_kept_whole_and_one_without_an_error_by_its_end() -> None:
    assert excerpt_of(b"one\n\ntwo\nerror: three\nfour") == ("one\ntwo\nerror: three\nfour", 0)
    text, left_out = excerpt_of(numbered(0, 1000).encode())
    assert text.split("\n")[-1] == "line 999"
    assert left_out == 1000 - len(text.split("\n"))
    assert excerpt_of(b"") == ("", 0)


def test_errors_of_other_steps_do_not_count() -> None:
    log = (
        "2026-11-01T10:00:00Z npm error code E404, which is tolerated\n"
        + "2026-11-01T10:00:01Z setting up\n" * 500
        + "2026-11-01T10:00:30Z FAIL: test_sum\n"
        + "2026-11-01T10:00:31Z ##[error]Process completed with exit code 1.\n"
        + "2026-11-01T10:00:33Z Post job cleanup: fatal: not a git repository\n"
    )
    since, until = (datetime(2026, 11, 1, 10, 0, second, tzinfo=UTC) for second in (30, 31))
    text, _ = excerpt_of(log.encode(), since=since, until=until)
    assert text.endswith("setting up\nFAIL: test_sum\n##[error]Process completed with exit code 1.")
    assert "npm" not in text
    assert "Post job" not in text


def test_secret_that_colours_split_is_hidden_and_a_private_key_wherever_the_window_cuts_it() -> None:
    coloured = f"token \x1b[31m{SECRET[:7]}\x1b[0m{SECRET[7:]} used\n"
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA\n" * 50 + "-----END RSA PRIVATE KEY-----\n"
    text, _ = excerpt_of((coloured + key + "error: no\n").encode())
    assert text == "token [redacted] used\n[redacted]\nerror: no"
    begun_before_the_window = key + numbered(0, MAX_LOG_LINES - 10)
    assert "MIIE" not in excerpt_of(begun_before_the_window.encode())[0]


def test_no_more_is_taken_than_the_bound() -> None:
    excerpt = LogExcerpt(REDACT, max_bytes=10)
    assert excerpt.feed(b"12345\n")
    assert not excerpt.feed(b"6789abcdef\n")
    assert excerpt.result()[0] == "12345\n6789"


def test_line_without_end_is_bounded() -> None:
    excerpt = LogExcerpt(REDACT)
    for _ in range(64):
        assert excerpt.feed(b"x" * 65536)
    text, _ = excerpt.result()
    assert len(text) <= 1_000


@given(st.lists(st.binary(max_size=200), max_size=30), st.integers(1, 50))
def test_any_bytes_in_any_chunks_give_a_bounded_text_and_the_same(parts: list[bytes], size: int) -> None:
    log = b"\n".join(parts)
    whole = excerpt_of(log)
    assert excerpt_of(*(log[start : start + size] for start in range(0, len(log), size))) == whole
    text, left_out = whole
    assert len(text.encode()) <= MAX_LOG_BYTES
    assert len(text.split("\n")) <= MAX_LOG_LINES
    kept = [line for line in text.split("\n") if not line.startswith("… (")]
    assert left_out <= len(log.split(b"\n")) - len(kept) + 1  # a log that ends with a line break has one line less
    assert "\x1b" not in text
    assert "\r" not in text


@given(st.lists(st.text(max_size=2000), max_size=MAX_LOG_LINES))
def test_lines_are_made_to_fit(lines: list[str]) -> None:
    assert len(fit(lines, MAX_LOG_BYTES).encode("utf-8", "replace")) <= MAX_LOG_BYTES


def test_long_lines_give_way_to_short_ones() -> None:
    text = fit(["short", "y" * 900, "error: this is what matters"], 500)
    assert text.startswith("short\nyyy")
    assert text.endswith("\nerror: this is what matters")
