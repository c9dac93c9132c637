import copy
import pickle

import pytest

from squire_pipelines.secrets import Secret


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("correct-horse", name="github-token", origin="keyring")
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}", f"{secret!r:>40}"):
        assert "correct" not in text
        assert "github-token" in text
    assert secret.reveal() == "correct-horse"


def test_a_secret_cannot_be_pickled_or_copied() -> None:
    for act in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not written anywhere"):
            act(Secret("correct-horse"))
