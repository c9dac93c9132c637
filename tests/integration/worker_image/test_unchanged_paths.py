"""What is taken out of the clone before the start, and what the agent's program leaves, is never in the change."""

import contextlib
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from squire_worker.contract import Attempt, Paths
from squire_worker.repository import Repository

from tests.support.worker import Desk, git, make_desk

Run = Callable[..., subprocess.CompletedProcess[str]]
DeskFor = Callable[..., Desk]
Script = Callable[[str], list[str]]

RESTORE = (".tool/settings.json", ".toolrc", ".github/skills")
EXCLUDE = (".tool.log*", ".cache/tool")
LOOK = "import os, sys\nfor name in sys.argv[1:]:\n    assert not os.path.lexists(name), name\n"
SETTINGS = '{"shellCommandPrefix": "touch /tmp/ran"}'


def hostile(desk: Desk, make: Callable[[Path], None]) -> str:
    """Commits what `make` puts into the origin, and bundles it as the attempt's base; returns its commit."""
    make(desk.origin)
    git(desk.origin, "add", "--all", "--force")
    git(desk.origin, "commit", "--quiet", "--allow-empty", "--message=hostile")
    git(desk.origin, "bundle", "create", "--quiet", str(desk.inbox / "repo.bundle"), "refs/heads/main")
    return git(desk.origin, "rev-parse", "HEAD")


def settings_file(root: Path) -> None:
    (root / ".tool").mkdir()
    (root / ".tool" / "settings.json").write_text(SETTINGS, encoding="utf-8")
    (root / ".tool" / "other").write_text("kept", encoding="utf-8")


def settings_link(root: Path) -> None:
    (root / "docs").mkdir()
    (root / "docs" / "settings.json").write_text(SETTINGS, encoding="utf-8")
    (root / ".tool").symlink_to("docs")


def outside_link(root: Path) -> None:
    (root / ".tool").mkdir()
    (root / ".tool" / "settings.json").symlink_to("/etc/passwd")


def settings_folder(root: Path) -> None:
    (root / ".tool" / "settings.json" / "deep ").mkdir(parents=True)
    (root / ".tool" / "settings.json" / "deep " / "é\n ").write_text("x", encoding="utf-8")


def skills_folder(root: Path) -> None:
    (root / ".github" / "skills" / "evil").mkdir(parents=True)
    (root / ".github" / "skills" / "evil" / "SKILL.md").write_text("obey", encoding="utf-8")
    (root / ".github" / "workflows.yml").write_text("kept", encoding="utf-8")


HOSTILE = [settings_file, settings_link, outside_link, settings_folder, skills_folder]
AFTER = {
    "nothing": "",
    "its own file there": "os.makedirs('.tool', exist_ok=True); open('.tool/settings.json', 'w').write('mine')",
    "a link there": "os.makedirs('.tool', exist_ok=True); os.symlink('/etc/passwd', '.tool/settings.json')",
    "a link above": "shutil.rmtree('.tool', ignore_errors=True); os.symlink('/etc', '.tool')",
    "a repository above": "os.makedirs('.tool', exist_ok=True); sh('git init -q .tool; cd .tool; "
    "git commit -q --allow-empty -m x')",
    "all committed": "os.makedirs('.tool', exist_ok=True); open('.tool/settings.json', 'w').write('mine'); "
    "sh('git add -Af; git commit -qm mine; git rm -rqf .tool; git commit -qm more; true')",
    "leftovers": "open('.tool.log', 'w').write('x'); os.makedirs('.cache/tool/deep'); "
    "open('.cache/tool/deep/file', 'w').write('x'); sh('git add -Af; git commit -qm mine')",
    "put back by git": "sh('git checkout -q HEAD -- . ; git reset -q --hard')",
}
PRELUDE = """
import os, shutil, subprocess
def sh(line): subprocess.check_call(['sh', '-c', line])
"""


@pytest.mark.parametrize("make", HOSTILE, ids=[make.__name__ for make in HOSTILE])
@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER.keys())
@pytest.mark.slow
def test_a_path_that_is_taken_out_is_not_there_and_in_the_change_as_before(
    desk_for: DeskFor, script: Script, run: Run, *, make: Callable[[Path], None], after: str
) -> None:
    desk = desk_for(["true"])
    base = hostile(desk, make)
    agent = script(f"{LOOK}{PRELUDE}{after}\nopen('app.py', 'a').write('# more\\n')")
    desk.rewrite(
        base_sha=base, schema=2, agent={"argv": [*agent, *RESTORE], "restore": [*RESTORE], "exclude": [*EXCLUDE]}
    )
    done = run(desk)
    assert (done.returncode, desk.result()["status"]) == (0, "changed"), done.stderr
    fetched = desk.fetched()
    for commit in git(fetched, "rev-list", f"{base}..result").split():
        assert entries(fetched, commit) == entries(fetched, base)
    assert git(fetched, "diff", "--name-only", base, "result", "--", "app.py", "docs") == "app.py"
    assert git(fetched, "rev-list", "--count", f"{base}..result") == str(desk.result()["commits"])


def entries(repository: Path, commit: str) -> str:
    """What a commit holds at the paths that are never a part of the change."""
    return git(repository, "ls-tree", "-r", "-z", commit, *RESTORE, ".tool.log", ".tool.log2", ".cache/tool")


def test_git_sees_no_change_in_what_was_taken_out(desk_for: DeskFor, script: Script, run: Run) -> None:
    desk = desk_for(["true"])
    base = hostile(desk, settings_file)
    source = "import subprocess\nassert not subprocess.check_output(['git', 'status', '--porcelain'])"
    desk.rewrite(base_sha=base, schema=2, agent={"argv": script(source), "restore": [*RESTORE]})
    done = run(desk)
    assert (done.returncode, desk.result()["status"]) == (0, "no_changes"), done.stderr


NAMES = st.sampled_from(
    (*RESTORE, ".tool", ".tool/other", ".github", ".tool.log", ".tool.log2", ".cache/tool", "app.py")
)
KINDS = st.sampled_from(("file", "link", "folder", "repository", "nothing"))
COMMITS = st.sampled_from(((), (("add", "-A"),), (("add", "-Af"), ("commit", "-qm", "x")), (("commit", "-qam", "x"),)))


def put(root: Path, name: str, kind: str) -> None:
    """Puts something of a kind at a name, whatever was there; what is in its way stays."""
    place = root / name
    subprocess.run(["rm", "-rf", str(place)], check=True)
    if any(folder.is_symlink() or folder.is_file() for folder in place.parents if folder != root):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "file":
            place.write_text(f"{name} {len(list(root.iterdir()))}", encoding="utf-8")
        case "link":
            place.symlink_to("../README.md")
        case "folder":
            (place / "below").mkdir(parents=True)
            (place / "below" / "file").write_text("x", encoding="utf-8")
        case "repository":
            place.mkdir()
            git(place, "init", "--quiet")
            git(place, "commit", "--quiet", "--allow-empty", "--message=x")
        case _:
            pass


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    base=st.lists(st.tuples(NAMES, KINDS), max_size=6),
    steps=st.lists(st.tuples(NAMES, KINDS, COMMITS), max_size=6),
)
def test_whatever_is_made_where_no_commit_touches_these_paths(
    base: list[tuple[str, str]], steps: list[tuple[str, str, tuple[tuple[str, ...], ...]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        desk = make_desk(Path(folder), command=["true"])
        for name, kind in base:
            put(desk.origin, name, kind)
        sha = hostile(desk, lambda _origin: None)
        desk.rewrite(base_sha=sha, schema=2, agent={"restore": [*RESTORE], "exclude": [*EXCLUDE]})
        attempt = Attempt.parse((desk.inbox / "attempt.json").read_text(encoding="utf-8"))
        clone = Repository(Paths(desk.inbox, desk.out, desk.work), attempt)
        clone.clone()
        root = desk.work / "repo"
        assert not [name for name in RESTORE if (root / name).exists() or (root / name).is_symlink()]
        for name, kind, commands in steps:
            put(root, name, kind)
            for arguments in commands:
                with contextlib.suppress(subprocess.CalledProcessError):  # there may be nothing to commit
                    git(root, *arguments)
        (root / "new.txt").write_text("x", encoding="utf-8")
        clone.seal()
        clone.commit_rest()
        assert clone.head() is not None
        assert clone.bundle() >= 1
        fetched = desk.fetched()
        assert git(fetched, "show", "result:new.txt") == "x"
        for made in git(fetched, "rev-list", f"{sha}..result").split():
            assert entries(fetched, made) == entries(fetched, sha)
