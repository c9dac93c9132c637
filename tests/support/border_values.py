"""Hypothesis strategies for what the policy judges: changes of any shape, and tasks with secrets."""

from hypothesis import strategies as st

from squire_pipelines.domain.change import ChangedFile, JudgedTask

_MODES = st.sampled_from(["000000", "100644", "100755", "120000", "160000", "040000", ""])
_LINES = st.lists(st.tuples(st.integers(1, 10**6), st.text(max_size=200)), max_size=8).map(tuple)
_PATHS = st.one_of(
    st.text(min_size=1, max_size=60),
    st.sampled_from([".github/workflows/x.yml", "a/../b", ".git/config", "GIT~1", "ok.py", "CODEOWNERS", "\u202ex"]),
)


@st.composite
def _file(draw: st.DrawFn) -> ChangedFile:
    return ChangedFile(
        path=draw(_PATHS),
        status=draw(st.sampled_from("AMDT")),
        old_mode=draw(_MODES),
        new_mode=draw(_MODES),
        added=draw(st.integers(0, 10**7)),
        deleted=draw(st.integers(0, 10**7)),
        bytes=draw(st.integers(0, 10**10)),
        binary=draw(st.booleans()),
        added_lines=draw(_LINES),
        symlink_target=draw(st.none() | st.text(max_size=60)),
    )


def changed_files() -> st.SearchStrategy[tuple[ChangedFile, ...]]:
    """Up to six changed files of any shape."""
    return st.lists(_file(), max_size=6).map(tuple)


def judged_tasks() -> st.SearchStrategy[JudgedTask]:
    """Tasks that ask for anything and know any secrets."""
    return st.builds(
        JudgedTask,
        attempt_id=st.none() | st.text(max_size=20),
        asked_paths=st.lists(st.text(max_size=20), max_size=3).map(tuple),
        known_secrets=st.lists(st.text(max_size=40), max_size=3).map(tuple),
    )
