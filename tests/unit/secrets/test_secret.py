import copy
import pickle

import pytest

from squire_pipelines.secret_names import check_provider_secret
from squire_pipelines.secrets import Secret
from squire_pipelines.secrets.key_file import KEY_VARIABLE
from squire_pipelines.secrets.passphrase import FILE_VARIABLE, VARIABLE


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


def test_no_providers_secret_has_the_variable_of_the_stores_key_or_passphrase() -> None:
    for variable in (KEY_VARIABLE, VARIABLE, FILE_VARIABLE):
        name = variable.removeprefix("SQUIRE_").removesuffix("_FILE").lower().replace("_", "-")
        with pytest.raises(ValueError, match="the name of a secret"):
            check_provider_secret(name)
