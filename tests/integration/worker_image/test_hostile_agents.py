"""Whatever an agent does to its clone, what comes out is a sound bundle on the base, or a named failure."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.worker import BRANCH, Desk, git

Run = Callable[..., subprocess.CompletedProcess[str]]
DeskFor = Callable[..., Desk]
Script = Callable[[str], list[str]]

PRELUDE = """
import os, pathlib, shutil, subprocess, sys
def git(*a): subprocess.check_call(['git', *a])
def sh(line): subprocess.check_call(['sh', '-c', line])
def hook(name):
    path = pathlib.Path('.git/hooks', name); path.parent.mkdir(exist_ok=True)
    path.write_text('#!/bin/sh\\ntouch "%s"\\nexit 1\\n' % os.environ['HOME'] + '/../hook-ran'); path.chmod(0o755)
open('app.py', 'a').write('# more\\n')
"""

TRICKS = {
    "hooks that refuse": "[hook(n) for n in ('pre-commit', 'commit-msg', 'post-commit', 'reference-transaction')]",
    "hooks elsewhere": "hook('pre-commit'); os.rename('.git/hooks', '.git/elsewhere'); "
    "git('config', 'core.hooksPath', '.git/elsewhere')",
    "a filter that breaks every add": "git('config', 'filter.x.clean', 'exit 1'); "
    "git('config', 'filter.x.required', 'true'); "
    "os.makedirs('.git/info', exist_ok=True); open('.git/info/attributes', 'w').write('* filter=x')",
    "a file system monitor": "git('config', 'core.fsmonitor', 'touch ../../hook-ran; false')",
    "a signer": "git('config', 'commit.gpgSign', 'true'); git('config', 'gpg.program', '/bin/false')",
    "a broken config": "open('.git/config', 'w').write('[[[ no config')",
    "a config that is a folder": "os.remove('.git/config'); os.mkdir('.git/config')",
    "a config that is a link": "os.remove('.git/config'); os.symlink('/etc/passwd', '.git/config')",
    "an unknown extension": "git('config', 'core.repositoryFormatVersion', '1'); "
    "git('config', 'extensions.nonsense', 'true')",
    "another work tree": "git('config', 'core.worktree', '/')",
    "all excluded": "os.makedirs('.git/info', exist_ok=True); open('.git/info/exclude', 'w').write('*')",
    "a lock left": "open('.git/index.lock', 'w')",
    "a broken index": "open('.git/index', 'wb').write(b'no index')",
    "files hidden in the index": "git('update-index', '--assume-unchanged', 'app.py')",
    "a detached head": "git('checkout', '-q', '--detach')",
    "another branch": "git('checkout', '-q', '-b', 'elsewhere'); git('commit', '-qam', 'Do the task')",
    "its branch deleted": "git('checkout', '-q', '--detach'); git('branch', '-D', 'squire/task-1'); "
    "git('branch', 'squire')",
    "no head": "os.remove('.git/HEAD')",
    "a head that names nothing": "open('.git/HEAD', 'w').write('ref: refs/heads/nothing\\n')",
    "its branch's ref broken": "open('.git/refs/heads/squire/task-1', 'w').write('zzz')",
    "replaced base": "sh('git replace $(git rev-parse HEAD) $(git rev-parse HEAD~1)')",
    "a shallow mark": "sh('git rev-parse HEAD > .git/shallow')",
    "amended base": "git('commit', '-qa', '--amend', '-m', 'not yours')",
    "reset behind the base": "git('stash', '-q'); git('reset', '-q', '--hard', 'HEAD~1'); "
    "open('app.py', 'w').write('import os\\n\\nprint(\\'hello\\')\\n# more\\n')",
    "an orphan": "git('checkout', '-q', '--orphan', 'fresh'); git('commit', '-qam', 'all new')",
    "GIT variables for nobody": "os.environ['GIT_DIR'] = '/nowhere'",
    "a named pipe": "os.mkfifo('pipe')",
    "background writer": "subprocess.Popen([sys.executable, '-c', "
    "\"import time\\nwhile True: open('app.py','a').write('#x'); time.sleep(.001)\"]); open('.git/app','w')",
}


@pytest.mark.slow
@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
def test_the_bundle_is_sound_whatever_the_agent_did(
    desk_for: DeskFor, script: Script, run: Run, tmp_path: Path, trick: str
) -> None:
    desk = desk_for(script(PRELUDE + trick))
    done = run(desk)
    assert desk.result()["status"] == "changed", done.stderr
    assert done.returncode == 0
    fetched = desk.fetched()
    assert git(fetched, "merge-base", desk.base_sha, "result") == desk.base_sha
    assert git(fetched, "diff", "--name-only", desk.base_sha, "result") == "app.py"
    assert git(fetched, "show", "result:app.py").startswith("import os\n\nprint('hello')\n# more")
    assert git(fetched, "rev-parse", "result") == desk.result()["head_sha"]
    assert git(fetched, "rev-list", "--count", f"{desk.base_sha}..result") == str(desk.result()["commits"])
    assert not list(tmp_path.rglob("hook-ran"))
    assert {path.name for path in desk.out.iterdir()} == {"result.bundle", "result.json"}


@pytest.mark.parametrize(
    "trick",
    ["shutil.rmtree('.git')", "os.rename('.git', '../g'); os.symlink('../g', '.git')", "shutil.rmtree('.git/objects')"],
    ids=["removed", "replaced by a link", "without objects"],
)
def test_a_clone_without_its_git_directory_is_a_named_failure(
    desk_for: DeskFor, script: Script, run: Run, trick: str
) -> None:
    desk = desk_for(script(PRELUDE + trick))
    assert run(desk).returncode == 121
    result = desk.result()
    assert (result["status"], result["error"]["code"]) == ("error", "git_failed")
    assert result["agent_exit_code"] == 0
    assert not desk.has_bundle


def test_a_bundle_or_result_that_lay_there_before_does_not_survive(desk_for: DeskFor, run: Run) -> None:
    desk = desk_for(["no-such-agent"])
    (desk.out / "result.bundle").write_bytes(b"planted")
    (desk.out / "result.json").write_text("planted", encoding="utf-8")
    run(desk)
    assert desk.result()["error"]["code"] == "agent_not_found"
    assert not desk.has_bundle


PLANT = """
import os, pathlib
out = pathlib.Path({out!r})
(out / 'result.json').mkdir(); (out / 'result.json' / 'x').write_text('x')
(out / '.result.json.part').symlink_to({victim!r})
(out / 'result.bundle').{plant}
"""


@pytest.mark.parametrize("plant", ["write_text('x')", "mkdir()", "symlink_to('/etc/passwd')"])
@pytest.mark.parametrize(("edit", "status"), [("", "no_changes"), ("open('app.py', 'w')", "changed")])
def test_what_the_agent_planted_among_the_outputs_is_replaced(
    desk_for: DeskFor, script: Script, run: Run, tmp_path: Path, *, plant: str, edit: str, status: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    desk = desk_for(["true"])
    source = PLANT.format(out=str(desk.out), victim=str(victim), plant=plant) + edit
    desk.rewrite(agent={"argv": script(source)})
    done = run(desk)
    assert done.returncode == 0, done.stderr
    assert desk.result()["status"] == status
    assert victim.read_text(encoding="utf-8") == "mine"
    assert desk.has_bundle is (status == "changed")
    if desk.has_bundle:
        assert desk.log() == ["squire-bot: Do the task"]


def test_the_branch_in_the_bundle_is_the_one_asked_for(desk_for: DeskFor, script: Script, run: Run) -> None:
    desk = desk_for(script(PRELUDE))
    run(desk)
    heads = git(desk.origin, "bundle", "list-heads", str(desk.out / "result.bundle"))
    assert heads == f"{desk.result()['head_sha']} refs/heads/{BRANCH}"
