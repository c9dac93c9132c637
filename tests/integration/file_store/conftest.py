import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.file_store.opening import open_store
from squire_pipelines.file_store.store import FileStore
from squire_pipelines.sections.files import FileSettings
from squire_pipelines.settings.model import Settings
from tests.support.object_store import KEY, KEY_ID, FaultProxy, serve_s3


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on loopback that speaks S3, with the bucket `shared`."""
    with serve_s3(tmp_path_factory.mktemp("s3"), "shared") as url:
        yield url


@pytest.fixture(scope="session")
def s3_store(s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FileStore, FaultProxy]]:
    """A store in that bucket, without second tries, behind a proxy: its library takes a while to start."""
    with pytest.MonkeyPatch.context() as patch, FaultProxy(s3_server).serve() as proxy:
        patch.setenv("SQUIRE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("SQUIRE_FILES_KEY_ID", KEY_ID)
        patch.setenv("SQUIRE_FILES_KEY", KEY)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        files = FileSettings(url="s3://shared/squire", endpoint_url=proxy.url, tries=1)
        settings = Settings(files=files)
        store = open_store(files, settings.secret_sources)
        yield store, proxy
        store.close()


@pytest.fixture
def bucket(s3_store: tuple[FileStore, FaultProxy]) -> Iterator[FileStore]:
    """An empty store in a bucket, behind a proxy."""
    store, proxy = s3_store
    yield store
    proxy.forget()
    for folder in list(store.folders("")):
        store.remove(f"{folder}/")


@pytest.fixture
def faulty_s3(bucket: FileStore, s3_store: tuple[FileStore, FaultProxy]) -> FaultProxy:  # noqa: ARG001 - emptied in the end
    """The proxy before it."""
    proxy = s3_store[1]
    proxy.forget()
    return proxy


@pytest.fixture(params=["folder", "bucket", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    if request.param == "bucket":
        return request.getfixturevalue("bucket")  # type: ignore[no-any-return] # a fixture's value
    (tmp_path / "mounted").mkdir()
    url = (
        f"file://{tmp_path}/mounted"
        if request.param == "folder"
        else f"memory://{tmp_path.parent.name}-{tmp_path.name}"
    )
    settings = Settings(files=FileSettings(url=url, tries=1))
    return open_store(settings.files, settings.secret_sources)
