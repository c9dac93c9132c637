import base64
import json
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.credentials import forms
from squire_pipelines.secrets import Redactor, Secret
from squire_pipelines.secrets.redact import MASK, RedactingStream, strip_ansi

# Letters that no mask and no filler text has, so that a part that survives can only come from the secret.
SECRETS = st.text(string.ascii_uppercase + string.digits + '!$%&/()=?+*~äöü€\\"', min_size=6, max_size=60)
ANY_SECRET = st.text(min_size=6, max_size=40).filter(lambda value: value.strip() == value and value not in MASK)
TOKEN = "ghp_" + "a1B2" * 9


def every_form(value: str) -> list[str]:
    data = value.encode()
    return [
        value,
        json.dumps({"key": value}),
        json.dumps({"key": value}, ensure_ascii=False),
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        data.hex(),
        data.hex().upper(),
        *(base64.b64encode(b"x" * n + data + b"y" * n).decode() for n in range(4)),
        *(base64.urlsafe_b64encode(b"x" * n + data).decode() for n in range(3)),
    ]


@given(
    SECRETS, st.text(string.ascii_lowercase + " \n", max_size=40), st.text(string.ascii_lowercase + " \n", max_size=40)
)
def test_no_form_of_a_known_secret_survives(value: str, before: str, after: str) -> None:
    redactor = Redactor([value])
    for form in every_form(value):
        clean = redactor.redact(before + form + after)
        assert MASK in clean
        for core in forms(value):
            assert core not in clean


@given(ANY_SECRET)
def test_any_text_can_be_a_secret(value: str) -> None:
    clean = Redactor([value]).redact(f"<{value}>")
    assert value not in clean


@given(SECRETS, st.data())
def test_a_secret_cut_by_chunks_does_not_survive(value: str, data: st.DataObject) -> None:
    text = f"first line\nthe value is {value} here\n{value}\nlast {value}"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    redactor = Redactor([value])
    assert "".join(redactor.redact_stream(chunks)) == redactor.redact(text)
    assert value not in "".join(redactor.redact_stream(chunks))


@given(SECRETS, SECRETS, st.integers(1, 7))
def test_a_secret_of_several_lines_survives_neither_whole_nor_by_line(first: str, second: str, size: int) -> None:
    text = f"a\n{first}\n{second}\nb {second}\n"
    chunks = [text[index : index + size] for index in range(0, len(text), size)]
    clean = "".join(Redactor([f"{first}\n{second}"]).redact_stream(chunks))
    assert first not in clean
    assert second not in clean


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        "ghs_" + "A" * 200,
        "github_pat_" + "1A" * 20,
        "sk-" + "proj-" + "aB3dE5fG7hI9jK1lM2nO",
        "AKIA" + "ABCDEFGH12345678",
        "Authorization: Bearer " + "abc.def.ghi",
        "authorization: token " + "abcdef",
        '"Authorization": "Basic ' + 'dXNlcjpwYXNz"',
        "bearer " + "abcdefgh12345678",
        "https://x-access-token:" + "hunter2@github.com/a/b",
        "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIabc\ndef==\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE " + "KEY-----\nMIIabc and no end",
    ],
)
def test_what_looks_like_a_credential_is_hidden_unknown_or_not(text: str) -> None:
    clean = Redactor().redact(f"before {text} after")
    assert MASK in clean
    for part in ("a1B2", "AAAA", "1A1A", "aB3d", "ABCD", "abc", "dXNl", "hunter2", "MII", "def="):
        assert part not in clean


def test_ordinary_text_is_left_as_it_is() -> None:
    text = "FAILED tests/test_app.py::test_add - assert -1 == 3\nsee https://example.com/a@b task-management\n"
    assert Redactor(["something-else"]).redact(text) == text


def test_escape_sequences_cannot_split_a_secret() -> None:
    for sequence in (
        "\x1b[31m",
        "\x1b[0;1m",
        "\x1b]0;title\x07",
        "\x1b]8;;x\x1b\\",
        "\x1b(B",
        "\x1b\x1b[0m[0m",
        "\x1bPq\x1b\\",
    ):
        assert Redactor(["correct-horse"]).redact(f"a correct{sequence}-horse b") == f"a {MASK} b"
        assert strip_ansi(f"x{sequence}y") == "xy"


def test_short_values_are_ignored() -> None:
    assert Redactor(["abc", "", "12345"]).redact("abc 12345") == "abc 12345"


def test_secrets_are_taken_as_such() -> None:
    assert Redactor([Secret("correct-horse")]).redact("correct-horse") == MASK


def test_the_longest_of_two_nested_secrets_wins() -> None:
    assert Redactor(["abcdef", "abcdefghij"]).redact("abcdefghij") == MASK


def test_lines_are_told_as_soon_as_they_are_whole() -> None:
    stream = Redactor(["correct-horse"]).stream()
    assert stream.feed("one\ntw") == "one\n"
    assert not stream.feed("o")
    assert stream.feed("\n") == "two\n"
    assert stream.feed("correct-") == ""
    assert stream.feed("horse\nrest") == f"{MASK}\n"
    assert stream.close() == "rest"
    assert stream.close() == ""


def test_a_key_block_is_held_until_its_end_comes() -> None:
    stream = Redactor().stream()
    assert stream.feed("a\n-----BEGIN PRIVATE " + "KEY-----\n") == "a\n"
    assert stream.feed("MIIabc\n") == ""
    assert stream.feed("-----END PRIVATE KEY-----\nb\n") == f"{MASK}\nb\n"


def test_a_key_block_without_an_end_is_not_held_for_ever() -> None:
    stream = Redactor().stream()
    told = stream.feed("-----BEGIN PRIVATE " + "KEY-----\n")
    for _ in range(2000):
        told += stream.feed("MIIabcdefghijklmnopqrstuvwxyz\n")
    assert told.startswith(MASK)
    assert len(told + stream.close()) < 70_000


def test_a_line_without_an_end_is_told_in_bounded_pieces() -> None:
    secret = "correct-horse-battery"
    redactor = Redactor([secret])
    stream = RedactingStream(redactor, max_held=100_000)
    told, held = "", 0
    for _ in range(50):
        told += stream.feed("x" * 9_990 + secret)
        held = max(held, stream._length)
    told += stream.close()
    assert held <= 100_000
    assert told == ("x" * 9_990 + MASK) * 50


def test_a_token_across_the_cut_of_an_endless_line_is_hidden() -> None:
    for shift in range(0, 50, 7):
        stream = RedactingStream(Redactor(), max_held=65_536)
        told = stream.feed(" " * (65_540 - 16_384 - shift) + TOKEN + " " * 16_400) + stream.close()
        assert TOKEN[4:12] not in told
        assert MASK in told
