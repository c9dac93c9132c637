"""Mirrors stay small, and one that nobody uses is removed."""

import os
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from itertools import islice
from pathlib import Path

import pytest

from squire_pipelines.files import lock
from squire_pipelines.home import Home
from squire_pipelines.publishing.mirror import Mirror, fetch_mirror
from squire_pipelines.publishing.mirror_upkeep import TendedMirrors, tend_mirrors
from tests.support.git_repository import Checkout, git

KEEP = timedelta(days=30)


@pytest.fixture
def mirror(home: Home, upstream: Path) -> Mirror:
    return fetch_mirror(home, "acme/app", str(upstream), None)


def tend(home: Home, *, days: float = 0, seconds: float = 60) -> TendedMirrors:
    return tend_mirrors(home, keep=KEEP, now=datetime.now(UTC) + timedelta(days=days), seconds=seconds)


def test_a_mirror_that_nothing_has_fetched_goes_and_is_fetched_again(
    home: Home, upstream: Path, mirror: Mirror
) -> None:
    assert tend(home, days=29) == TendedMirrors(maintained=1)
    assert tend(home, days=31) == TendedMirrors(removed=1)
    assert not mirror.path.exists()
    assert fetch_mirror(home, "acme/app", str(upstream), None).branches() == ("main",)


def test_each_fetch_is_a_use(home: Home, upstream: Path, mirror: Mirror) -> None:
    os.utime(mirror.path / "HEAD", (0, 0))
    fetch_mirror(home, "acme/app", str(upstream), None)
    assert tend(home, days=29) == TendedMirrors(maintained=1)


def objects_of_nobody(mirror: Mirror, *, days: float) -> None:
    """Put blobs into the folder `17`, from whose number git guesses how many there are in all."""
    contents = (f"{number}".encode() for number in range(100_000))
    fitting = (text for text in contents if sha1(b"blob %d\0%b" % (len(text), text)).hexdigest().startswith("17"))  # noqa: S324 - as git does
    for text in islice(fitting, 3):
        source = mirror.path / "blob"
        source.write_bytes(text)
        name = git(mirror.path, "hash-object", "-w", "blob").strip()
        source.unlink()
        changed = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(mirror.path / "objects" / "17" / name[2:], (changed, changed))


def test_git_packs_and_prunes_what_fetches_have_left(home: Home, upstream: Path, tmp_path: Path) -> None:
    fetch_mirror(home, "acme/app", str(upstream), None)
    person = Checkout(tmp_path / "person", upstream)
    for number in range(10):
        person.write(f"file-{number}", f"{number}")
        person.commit()
    person.git("push", "--quiet", "origin", "main")
    mirror = fetch_mirror(home, "acme/app", str(upstream), None)
    objects_of_nobody(mirror, days=15)
    assert tend(home) == TendedMirrors(maintained=1)
    assert git(mirror.path, "count-objects").startswith("0 objects")
    assert mirror.resolve("main") == person.head()


def test_one_that_is_being_fetched_and_one_for_which_there_is_no_time_wait(home: Home, mirror: Mirror) -> None:
    with lock(mirror.lock_path):
        assert tend(home, days=31) == TendedMirrors()
    assert tend(home, days=31, seconds=0) == TendedMirrors(more=True)
    assert mirror.path.exists()


@pytest.mark.usefixtures("mirror")
def test_one_that_git_cannot_read_holds_up_no_other(home: Home) -> None:
    (home.mirrors / "acme+broken.git").mkdir()
    (home.mirrors / "acme+broken.git" / "HEAD").write_text("nonsense")
    assert tend(home) == TendedMirrors(maintained=1)
