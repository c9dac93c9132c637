import gzip
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.canary import canary_for
from squire_pipelines.domain.change import Decision, JudgedTask, Piece
from squire_pipelines.domain.leaks import search
from tests.support.spellings import binary_spellings, rotated, text_spellings, unseen_spellings

ATTEMPT = "t1-1"
CANARY = canary_for(ATTEMPT)
TOKEN = "ghp_" + "a1B2c3D4e5f6G7h8iJ9kLmN0pQrStUvWxYzA"
PASS_PHRASE = "correct-horse-battery-staple-42"
TASK = JudgedTask(attempt_id=ATTEMPT, known_secrets=(TOKEN, PASS_PHRASE))
SECRETS = {"token": TOKEN, "pass phrase": PASS_PHRASE, "canary": CANARY}
# Nothing but the canary tells small from great letters, and only a long secret from a part of it.
SPELLINGS = [
    pytest.param(secret, content.encode() if isinstance(content, str) else content, id=f"{kind}, {name}")
    for kind, secret in SECRETS.items()
    for name, content in (*text_spellings(secret), *binary_spellings(secret))
]


def rules(*contents: bytes, task: JudgedTask = TASK) -> set[str]:
    return {finding.rule for finding in search((Piece(content, "contains", "a") for content in contents), task)}


@pytest.mark.parametrize(("secret", "content"), SPELLINGS)
def test_a_secret_is_found_however_it_is_written(secret: str, content: bytes) -> None:
    rule = "canary" if secret == CANARY else "secret"
    assert rules(content) == {rule}
    code = b"def add(a, b):\n    return a + b\n\n\n"
    assert rules(code + b"x = [" + content + b"]\n" + code) == {rule}
    assert rules(content, task=JudgedTask(attempt_id="t2-2", known_secrets=("another-secret-entirely",))) == set()


def test_a_secret_without_letters_and_digits_is_looked_for_as_it_stands() -> None:
    for secret in ("пароль-секрет", "!?!?!?!?"):
        task = JudgedTask(attempt_id=ATTEMPT, known_secrets=(secret,))
        assert rules(b"an ordinary line", task=task) == set()
        assert rules(f"x = '{secret}'".encode(), task=task) == {"secret"}


@pytest.mark.parametrize(("name", "content"), [*rotated(CANARY)])
def test_the_canary_is_also_found_turned_by_thirteen_and_interleaved(name: str, content: str) -> None:
    assert rules(content.encode()) == {"canary"}, name


@pytest.mark.parametrize(("name", "content"), [*unseen_spellings(CANARY)])
def test_what_needs_a_key_or_a_private_rule_is_not_found(name: str, content: str) -> None:
    assert rules(content.encode()) == set(), name


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_halves_in_two_places_are_one_secret(secret: str) -> None:
    half = len(secret) // 2
    first, second = secret[:half].encode(), secret[half:].encode()
    assert rules(first, b"x = 1\n", second)
    assert rules(first.hex().encode(), second[::-1])
    # Words of a pass phrase alone are no secret; a part of the canary is one.
    assert rules(first) == ({"canary"} if secret == CANARY else set())


@given(st.sampled_from(sorted(SECRETS)), st.data())
def test_pieces_of_twelve_letters_are_found_whatever_lies_between(kind: str, data: st.DataObject) -> None:
    secret = SECRETS[kind]
    between = st.text(string.ascii_lowercase + " \n=", min_size=1, max_size=30)
    pieces = [secret[at : at + 12] for at in range(0, len(secret), 12)]
    content = "".join(f"{data.draw(between)}{piece}" for piece in pieces)
    assert rules(content.encode()) == {"canary" if kind == "canary" else "secret"}


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_any_bytes_are_searched_without_an_error_and_hold_nothing_by_chance(content: bytes) -> None:
    assert rules(content) == set()


def test_what_looks_like_a_credential_counts_in_new_lines_alone_also_encoded() -> None:
    line = f"x = '{TOKEN}'"
    written = search(iter([Piece.of_lines("a.py", ((3, line),))]), JudgedTask())
    assert [(f.rule, f.path, f.line, f.decision) for f in written] == [("secret", "a.py", 3, Decision.REJECT)]
    assert rules(line.encode(), task=JudgedTask()) == set()
    for name, content in text_spellings(TOKEN):
        if "base64" in name and "reversed" not in name and "halves" not in name and "byte" not in name:
            findings = search(iter([Piece.of_text("adds", content)]), JudgedTask())
            assert [f.rule for f in findings] == ["secret"], name
            assert TOKEN not in str(findings)


def test_a_finding_is_told_once_and_never_with_the_value() -> None:
    findings = search((Piece(CANARY.encode(), "contains", path) for path in "abc"), TASK)
    assert [(finding.rule, finding.path) for finding in findings] == [("canary", "a")]
    assert CANARY[4:] not in str(findings[0])


def test_an_archive_that_holds_too_much_is_refused_and_not_unpacked() -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * 2**26, mtime=0), mtime=0)
    findings = search(iter([Piece(bomb, "contains", "a.gz")]), TASK)
    assert [(finding.rule, finding.path, finding.decision) for finding in findings] == [
        ("unsearched", "a.gz", Decision.REJECT)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        "\n".join(f'"integrity": "sha512-{random.Random(n).randbytes(64).hex()}"' for n in range(400)),  # noqa: S311 - no secret
        random.Random(7).randbytes(60_000).hex(),  # noqa: S311 - no secret
        "x = 1\n" * 10_000,
        "'" * 60_000,
        ("'" + " " * 399) * 140,
        "\\" * 60_000,
        "&" * 60_000,
        "1 " * 30_000,
        "=41" * 20_000,
        "\x1f\x8b\x08x\x9cPK\x03\x04" * 4_000,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_the_time_is_proportional_to_the_length(content: str) -> None:
    began = time.process_time()
    rules(content.encode())
    assert time.process_time() - began < 20
