import subprocess
import sys
from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.file_store.opening import folder_of, open_filesystem, store_of
from squire_pipelines.sections.files import FileSettings
from squire_pipelines.settings.model import Settings


def test_a_home_without_a_store_loads_no_library_of_stores() -> None:
    program = (
        "import sys; from squire_pipelines.file_store.opening import store_of\n"
        "from squire_pipelines.file_store import attempt_copies\n"
        "from squire_pipelines.settings.model import Settings\n"
        "assert store_of(Settings()) is None\n"
        "print({'fsspec', 's3fs', 'botocore', 'aiohttp'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "set()"


def test_a_process_opens_a_store_once_and_again_when_it_was_denied(tmp_path: Path) -> None:
    settings = Settings(files=FileSettings(url=f"file://{tmp_path}"))
    store = store_of(settings)
    assert store is not None
    assert store_of(settings) is store
    store.was_denied = True
    assert store_of(settings) is not store
    for number in range(9):
        store_of(Settings(files=FileSettings(url=f"file://{tmp_path}/{number}")))
    assert store_of(settings) is not None


def test_paths_and_urls_of_files_are_folders() -> None:
    assert folder_of("/mnt/x") == folder_of("file:///mnt/x") == Path("/mnt/x")
    assert folder_of("s3://bucket/x") is None


def test_a_library_that_is_missing_is_named_with_what_to_install() -> None:
    with pytest.raises(ConfigError, match="gs:// is not installed") as caught:
        open_filesystem("gs://bucket/x")
    assert "squire-pipelines[gcs]" in caught.value.hint
