import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.files import FileSettings
from squire_pipelines.settings.model import load_settings


@pytest.mark.parametrize("url", ["s3://key:hunter22@bucket/x", "s3://bucket/x?secret=hunter22", "hunter22"])
def test_a_store_with_credentials_in_its_url_is_refused_without_being_repeated(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_FILES__URL", url)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "looks like" in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_only_a_bucket_has_secrets() -> None:
    assert FileSettings().secret_names == FileSettings(url="file:///mnt/squire").secret_names == ()
    assert FileSettings(url="s3://bucket").secret_names == ("files-key-id", "files-key")
