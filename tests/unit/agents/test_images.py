"""Images of programs: their context, their tags, and what a failed build is failure as."""

import io
import json
import tarfile

import pytest

from squire_pipelines.agents.images import context_files, explain_failure, pack, tag_of
from squire_pipelines.agents.program_locks import find_program
from squire_pipelines.errors import BuildFailedError, NotReachableError, RefusedError, SquireError

CLAUDE = find_program("claude-code")


def test_the_context_is_the_same_bytes_at_every_call_and_holds_what_the_dockerfile_copies() -> None:
    files = context_files(CLAUDE)
    assert pack(files) == pack(context_files(CLAUDE))
    with tarfile.open(fileobj=io.BytesIO(pack(files))) as archive:
        names = set(archive.getnames())
    copied = {
        word
        for line in files["Dockerfile"].decode().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert copied | {"Dockerfile"} == names
    assert json.loads(files["program.json"])["version"] == CLAUDE.version


def test_a_tag_says_the_version_and_changes_with_everything_that_goes_in() -> None:
    files = context_files(CLAUDE)
    tag = tag_of(CLAUDE, "sha256:1", files)
    assert tag.startswith(f"squire-worker-claude-code:{CLAUDE.version}-")
    assert tag == tag_of(CLAUDE, "sha256:1", dict(reversed(files.items())))
    changed = [tag_of(CLAUDE, "sha256:1", {**files, name: data + b" "}) for name, data in files.items()]
    assert len({tag, tag_of(CLAUDE, "sha256:2", files), *changed}) == len(files) + 2


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("integrity", RefusedError, "not what its lock names"),
        ("network", NotReachableError, "cannot be downloaded"),
        ("missing", NotReachableError, "npm does not have"),
    ],
)
def test_a_failed_build_is_told_by_its_cause_with_a_next_step(kind: str, error: type[SquireError], words: str) -> None:
    failure = explain_failure(CLAUDE, ["Step 1", f"squire-failure: {kind}: the reason"], "exit code 1")
    assert type(failure) is error
    assert words in failure.message
    assert "the reason" in failure.message
    assert failure.hint


def test_any_other_failure_shows_the_end_of_what_the_build_wrote() -> None:
    failure = explain_failure(CLAUDE, [f"line {number}" for number in range(30)], "no space left on device")
    assert isinstance(failure, BuildFailedError)
    assert "no space left on device" in failure.message
    assert failure.place.splitlines()[-1] == "line 29"
