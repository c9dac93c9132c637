import dagster as dg
import pytest

from squire_pipelines.jobs.executors import choose_executor
from squire_pipelines.sections.operation import PipelineSettings
from squire_pipelines.settings.model import Settings

pytestmark = pytest.mark.docker


def test_auto_without_the_image_is_the_runs_own_process() -> None:
    settings = Settings(pipeline=PipelineSettings(executor="auto", image="squire-test-none:none"))
    assert choose_executor(settings) is dg.in_process_executor
