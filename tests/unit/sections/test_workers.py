"""What can be set about workers."""

import pytest
from pydantic import ValidationError

from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.workers import WorkerSettings
from squire_pipelines.settings.model import Settings, load_settings

POSTGRES = "postgresql://squire@db.example/squire"


@pytest.mark.parametrize("url", ["redis://h", "rediss://u@h:6380/2", "amqp://squire@h/vhost", "amqps://h"])
def test_a_broker_is_redis_or_rabbitmq(url: str) -> None:
    assert WorkerSettings(broker_url=url).broker_url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://:s3cret-word@h/0", "the secret broker-key"),
        ("amqp://u:s3cret-word@h/0", "the secret broker-key"),
        ("http://h", "looks like redis"),
        ("redis://", "looks like redis"),
        ("redis://h:99999", "looks like redis"),
        ("redis://h/0?password=s3cret-word", "looks like redis"),
    ],
)
def test_a_url_with_a_password_or_of_something_else_is_refused_and_not_repeated(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_WORKERS__BROKER_URL", url)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_settings()
    assert "s3cret-word" not in str(caught.value)


def test_a_worker_is_not_lost_between_two_beats() -> None:
    with pytest.raises(ValidationError, match="two beats"):
        WorkerSettings(heartbeat_s=20, lost_after_s=30)


def test_a_ledger_in_a_file_and_a_store_in_the_home_are_not_shared() -> None:
    Settings().check_shared()
    shared = {"broker_url": "redis://h"}
    with pytest.raises(ConfigError, match="SQLite"):
        Settings.model_validate({"workers": shared}).check_shared()
    with pytest.raises(ConfigError, match="would keep what it finishes"):
        Settings.model_validate({"workers": shared, "ledger_url": POSTGRES}).check_shared()
    files = {"url": "file:///srv/squire"}
    settings = Settings.model_validate({"workers": shared, "ledger_url": POSTGRES, "files": files})
    settings.check_shared()
    assert settings.is_shared
    assert "broker-key" in settings.named_secrets
