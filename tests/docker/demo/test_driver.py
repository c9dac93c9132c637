from pathlib import Path

import pytest

from squire_pipelines.demo.driver import Demo
from squire_pipelines.demo.options import DemoOptions
from squire_pipelines.errors import ImageMissingError

pytestmark = pytest.mark.docker


def test_an_engine_without_the_workers_image_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_AGENT__IMAGE", "squire-test-none:none")
    demo = Demo(DemoOptions(home=tmp_path / "demo"), say=print)
    with pytest.raises(ImageMissingError, match="squire-test-none:none") as caught:
        demo.run(then=lambda _result, _forge: None)
    assert "--runner local" in caught.value.hint
    assert not (tmp_path / "demo").exists()
