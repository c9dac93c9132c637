"""A company's library that is not installed is named with its extra."""

import sys

import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.execution.startable import check_agent_of
from squire_pipelines.gateway.clouds.cloud import Platform
from squire_pipelines.gateway.clouds.libraries import check_installed
from squire_pipelines.settings.model import Settings

TABLES = {
    Platform.BEDROCK: {"protocol": "anthropic", "platform": "bedrock", "region": "eu-central-1"},
    Platform.VERTEX: {"protocol": "anthropic", "platform": "vertex", "region": "eu", "project": "p"},
}


@pytest.mark.parametrize(
    ("platform", "module", "package"),
    [(Platform.BEDROCK, "botocore", "botocore"), (Platform.VERTEX, "google.auth", "google-auth")],
)
def test_a_library_that_is_missing_is_named_before_an_attempt_is_claimed(
    monkeypatch: pytest.MonkeyPatch, platform: Platform, module: str, package: str
) -> None:
    settings = Settings.model_validate(
        {
            "providers": {"own": TABLES[platform]},
            "agent": {"kind": "claude-code", "runner": "docker", "provider": "own", "model": "m"},
        }
    )
    check_installed(platform)
    check_agent_of(settings, "o/r")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=f"needs the library {package}") as caught:
        check_agent_of(settings, "o/r")
    assert f"squire-pipelines[{platform}]" in caught.value.hint
