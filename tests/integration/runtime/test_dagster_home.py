"""The `dagster.yaml` of a home, and whose it is."""

from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.runtime.dagster_home import dagster_yaml, instance_environment
from squire_pipelines.settings.model import Settings

EARLIER_DAGSTER_YAML = Path(__file__).parents[2] / "support" / "earlier_dagster.yaml"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    loaded = Settings()
    assert loaded.home.state == tmp_path / "home"
    return loaded


def test_the_instance_gets_our_settings_and_keeps_its_own(settings: Settings) -> None:
    environment = instance_environment(settings)
    written = settings.home.dagster / "dagster.yaml"
    assert environment["DAGSTER_HOME"] == str(settings.home.dagster)
    assert "ProcessorBoundRunCoordinator" in written.read_text(encoding="utf-8")
    written.write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    instance_environment(settings)
    assert written.read_text(encoding="utf-8") == "telemetry: {enabled: false}\n"


def test_an_earlier_versions_file_that_nobody_changed_is_replaced(settings: Settings) -> None:
    instance_environment(settings)
    written = settings.home.dagster / "dagster.yaml"
    ours = written.read_text(encoding="utf-8")
    earlier = EARLIER_DAGSTER_YAML.read_text(encoding="utf-8")
    written.write_text(earlier, encoding="utf-8")
    instance_environment(settings)
    assert written.read_text(encoding="utf-8") == ours
    written.write_text(f"# mine\n{earlier}", encoding="utf-8")
    instance_environment(settings)
    assert written.read_text(encoding="utf-8").startswith("# mine")


def test_an_installation_without_its_settings_is_an_error(tmp_path: Path) -> None:
    places = (tmp_path / "wheel", tmp_path)
    with pytest.raises(ConfigError, match=r"dagster\.yaml is missing"):
        dagster_yaml(places=places)
    (tmp_path / "dagster.yaml").touch()
    assert dagster_yaml(places=places) == tmp_path / "dagster.yaml"
