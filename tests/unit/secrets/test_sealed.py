"""The format of the encrypted file: what is sealed is opened with its key alone, and what was changed is not."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.errors import PassphraseError, SecretStoreError
from squire_pipelines.secrets.sealed import KdfCost, derive_key, open_sealed, parse, seal
from tests.support.secret_store_faults import CHEAP, accepted_flips, passphrase

KEY = derive_key(passphrase().reveal(), b"s" * 16, CHEAP)
PLACE = "the file"


@given(
    st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1, max_size=20), st.text(max_size=50), max_size=5)
)
def test_what_is_sealed_is_opened_as_it_was(values: dict[str, str]) -> None:
    data = seal(values, KEY)
    sealed = parse(data, PLACE)
    assert open_sealed(sealed, KEY, PLACE) == values
    assert sealed.names == tuple(sorted(values))
    assert data != seal(values, KEY), "each file has a nonce of its own"


def test_no_flipped_bit_is_accepted_also_with_a_checksum_made_to_fit() -> None:
    assert list(accepted_flips(seal({"model-key": "v" * 60}, KEY), KEY, 200, seed=1)) == []


def test_another_key_does_not_open_it_and_the_message_says_no_more() -> None:
    sealed = parse(seal({"model-key": "value"}, KEY), PLACE)
    with pytest.raises(PassphraseError, match="does not open") as wrong:
        open_sealed(sealed, derive_key("another passphrase", b"s" * 16, CHEAP), PLACE)
    assert wrong.value.__cause__ is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no secret store"),
        (b"squire-secrets 1\n", "no secret store"),
        (b"github-token = 1\n" * 9, "no secret store"),
        (b"squire-secrets 2\nwhatever comes then", "version 2 .* reads version 1"),
        (seal({}, KEY)[:-1], "checksum"),
        (seal({}, KEY) + b"x", "checksum"),
    ],
)
def test_what_is_no_whole_file_of_this_version_is_refused_with_its_cause(data: bytes, says: str) -> None:
    with pytest.raises(SecretStoreError, match=says) as refused:
        parse(data, PLACE)
    assert refused.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"memory_kib": 2**30},
        {"memory_kib": 256 * 1024, "iterations": 10},
        {"iterations": 0},
        {"iterations": True},
        {"lanes": 64},
        {"salt": "00"},
        {"nonce": "0"},
        {"kdf": "md5"},
        {"names": "model-key"},
        {"names": ["x" * 300]},
        {"names": ["x"] * 1000},
    ],
)
def test_a_header_out_of_bounds_costs_nothing(change: dict[str, object]) -> None:
    import hashlib  # noqa: PLC0415 - only here

    first, header, rest = seal({}, KEY)[:-32].split(b"\n", 2)
    body = b"\n".join((first, json.dumps(json.loads(header) | change).encode(), rest))
    with pytest.raises(SecretStoreError, match="header cannot be read"):
        parse(body + hashlib.sha256(body).digest(), PLACE)


def test_more_than_the_file_takes_is_refused() -> None:
    with pytest.raises(SecretStoreError, match="at most"):
        seal({f"n{number}": "v" for number in range(300)}, KEY)


def test_the_default_cost_is_bounded_and_a_key_is_written_nowhere() -> None:
    assert KdfCost().is_bounded
    assert KEY.key.hex() not in repr(KEY)
    with pytest.raises(TypeError, match="not written"):
        pickle.dumps(KEY)
