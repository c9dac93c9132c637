import base64
import json
import os
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.credentials import forms
from squire_pipelines.domain.terminal_text import without_sequences
from squire_pipelines.secrets import Redactor, Secret
from squire_pipelines.secrets.redact import MASK, SecretVariables, process_redactor
from squire_pipelines.secrets.secret import known_secrets

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


@given(SECRETS, SECRETS)
def test_a_secret_of_several_lines_survives_neither_whole_nor_by_line(first: str, second: str) -> None:
    redactor = Redactor([f"{first}\n{second}"])
    text = f"a\n{first}\n{second}\nb {second}\n"
    for clean in (redactor.redact(text), "\n".join(map(redactor.redact, text.splitlines()))):
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
        assert without_sequences(f"x{sequence}y") == "xy"


def test_short_values_are_ignored() -> None:
    assert Redactor(["abc", "", "12345"]).redact("abc 12345") == "abc 12345"


def test_secrets_are_taken_as_such() -> None:
    assert Redactor([Secret("correct-horse")]).redact("correct-horse") == MASK


def test_the_longest_of_two_nested_secrets_wins() -> None:
    assert Redactor(["abcdef", "abcdefghij"]).redact("abcdefghij") == MASK


def test_the_process_knows_the_secrets_of_its_environment_and_those_that_it_has_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "key-of-the-environment")
    made = Secret("key-made-by-this-process")
    text = f"{made.reveal()} key-of-the-environment {made}"
    assert process_redactor().redact(text) == f"{MASK} {MASK} Secret(secret)"


def test_the_keys_of_providers_in_the_environment_are_hidden_whatever_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SQUIRE_CLAUDE_KEY", "key-of-one-provider")
    monkeypatch.setenv("SQUIRE_WORK_TOKEN", "token-of-another")
    monkeypatch.setenv("SQUIRE_CLAUDE_KEY_FILE", "/run/secrets/claude")
    text = "key-of-one-provider token-of-another /run/secrets/claude"
    assert process_redactor().redact(text) == f"{MASK} {MASK} /run/secrets/claude"


def test_a_secret_variable_is_hidden_by_its_value_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "value-before value-after value-of-late"
    monkeypatch.setenv("SQUIRE_CLAUDE_KEY", "value-before")
    assert process_redactor().redact(text) == f"{MASK} value-after value-of-late"
    monkeypatch.setenv("SQUIRE_CLAUDE_KEY", "value-after")
    assert process_redactor().redact(text) == f"value-before {MASK} value-of-late"
    monkeypatch.setenv("SQUIRE_WORK_TOKEN", "value-of-late")
    assert process_redactor().redact(text) == f"value-before {MASK} {MASK}"
    monkeypatch.delenv("SQUIRE_CLAUDE_KEY")
    assert process_redactor().redact(text) == f"value-before value-after {MASK}"


def test_names_of_variables_are_looked_at_once_while_they_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def is_secret(name: str) -> bool:
        looked.append(name)
        return name.endswith("_KEY")

    variables = SecretVariables(is_secret)
    monkeypatch.setenv("SQUIRE_CLAUDE_KEY", "value-before")
    variables.values()
    monkeypatch.setenv("SQUIRE_CLAUDE_KEY", "value-after")
    assert "value-after" in variables.values()
    assert looked == list(os.environ)


def test_the_process_remembers_no_more_than_the_last_secrets() -> None:
    for number in range(300):
        Secret(f"secret-number-{number:03}")
    assert len(known_secrets()) == 256
    assert process_redactor().redact("secret-number-299") == MASK


def test_a_key_is_hidden_whole_where_another_is_known_whose_first_line_it_has() -> None:
    head, foot = "-----BEGIN RSA PRIVATE " + "KEY-----", "-----END RSA PRIVATE KEY-----"
    redactor = Redactor([f"{head}\nMIIknownknown\nknown==\n{foot}"])
    assert redactor.redact(f"with {head}\nMIIother\nother==\n{foot}.") == "with [redacted]."
