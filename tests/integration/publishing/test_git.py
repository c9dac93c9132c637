import os
import select
import socket
import subprocess
from pathlib import Path

import pytest

from squire_pipelines.errors import (
    ConfigError,
    GitError,
    GitHubUnavailableError,
)
from squire_pipelines.publishing.author import commit_author
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.git_answers import classify_failure
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.services import GitHubSettings

TOKEN = "ghp_" + "a1B2" * 9


def _program(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a script in git's place, to see how it is called or to have it misbehave."""
    folder.mkdir(exist_ok=True)
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_output_is_returned() -> None:
    assert run_git(["hash-object", "--stdin"], stdin=b"hello\n").decode().strip() == (
        "ce013625030ba8dba906f756967f9e9ca394464a"
    )


def test_an_open_file_is_read_from_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"skip hello\n")
    with (tmp_path / "x").open("rb") as file:
        file.seek(5)
        os.lseek(file.fileno(), 5, os.SEEK_SET)
        assert run_git(["stripspace"], stdin=file) == b"hello\n"


def test_the_users_configuration_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("[alias]\n\tping = !echo pong\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "alias.ping")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "!echo pong")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    with pytest.raises(GitError, match="not a git command"):
        run_git(["ping"])


def test_the_environment_holds_what_git_needs_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin", monkeypatch, "env")
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("GIT_SSH_COMMAND", "evil")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ca.pem")
    monkeypatch.delenv("GIT_SSL_CAINFO", raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    lines = run_git(["x"], environment={"EXTRA": "1"}).decode().splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    assert TOKEN not in variables.values()
    assert {
        key: variables.get(key) for key in ("GIT_SSL_CAINFO", "https_proxy", "EXTRA", "GIT_SSH_COMMAND", "HOME")
    } == {
        "GIT_SSL_CAINFO": "/etc/ca.pem",
        "https_proxy": "http://127.0.0.1:1",
        "EXTRA": "1",
        "GIT_SSH_COMMAND": "false",
        "HOME": os.devnull,
    }
    assert {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "",
    }.items() <= variables.items()


def test_the_token_is_in_a_private_file_only_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp dir"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp dir").mkdir()
    script = (
        'for a in "$@"; do echo "arg $a"; done; env; f=$(ls -d "$TMPDIR"/squire-git-*); stat -c "mode %a" "$f" '
        '"$f/credentials"; echo "file $(cat "$f/credentials")" >&2; exit 3'
    )
    _program(tmp_path / "bin", monkeypatch, script)
    remote = Remote.parse("https://github.com/acme/app.git", Secret("p@ss/word"))
    with pytest.raises(GitError) as caught:
        run_git(["x"], remote=remote)
    assert caught.value.context["last_lines"] == ("file https://[redacted]@github.com",)
    seen = run_git(["x"], remote=remote, ok_codes=(3,)).decode()
    assert "p@ss" not in seen
    assert "p%40ss" not in seen
    assert seen.count("mode 700") == 1
    assert seen.count("mode 600") == 1
    assert "arg credential.helper=store --file='" in seen
    assert list((tmp_path / "tmp dir").iterdir()) == []


def test_time_over_ends_the_whole_process_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin", monkeypatch, f"(trap '' TERM; exec sleep 300) & echo $! > {tmp_path / 'child'}; wait")
    with pytest.raises(GitError, match=r"git fetch took longer than 0\.5 s") as caught:
        run_git(["fetch"], limits=GitLimits(timeout_s=0.5))
    assert caught.value.context["timed_out"] is True
    try:
        child = os.pidfd_open(int((tmp_path / "child").read_text()))
    except ProcessLookupError:
        return
    assert select.select([child], [], [], 10)[0]
    os.close(child)


@pytest.mark.slow
def test_a_git_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin", monkeypatch, "trap '' TERM; while :; do sleep 0.1; done")
    with pytest.raises(GitError, match="took longer"):
        run_git(["fetch"], limits=GitLimits(timeout_s=0.3))


def test_a_git_that_closes_its_output_and_stays_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin", monkeypatch, "exec >&- 2>&-; sleep 300")
    with pytest.raises(GitError, match="took longer"):
        run_git(["fetch"], limits=GitLimits(timeout_s=0.3))


def test_output_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin", monkeypatch, "yes | head -c 50000000")
    with pytest.raises(GitError, match="wrote more than 1000 bytes") as caught:
        run_git(["log"], limits=GitLimits(max_output=1000))
    assert caught.value.context["overflowed"] is True
    assert run_git(["log"], limits=GitLimits(max_output=7, truncate=True)) == b"y\ny\ny\ny"


def test_errors_keep_the_last_lines_of_a_long_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin", monkeypatch, "i=0; while [ $i -lt 5000 ]; do echo line $i >&2; i=$((i+1)); done; exit 9")
    with pytest.raises(GitError, match="exit code 9: line 4999") as caught:
        run_git(["gc", "--aggressive"])
    assert caught.value.context["args"] == ("gc", "--aggressive")
    assert caught.value.context["exit_code"] == 9
    lines = caught.value.context["last_lines"]
    assert isinstance(lines, tuple)
    assert len(lines) == 40


def test_a_machine_without_git_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="install git"):
        run_git(["version"])


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("https://github.com/a/b.git", "https"),
        ("http://127.0.0.1:8080/a/b.git", "http"),
        ("http://localhost/a/b", "http"),
        ("http://[::1]:1/a/b", "http"),
        ("/srv/git/b.git", "file"),
        ("file:///srv/git/b.git", "file"),
    ],
)
def test_urls_that_can_be_used(url: str, protocol: str) -> None:
    remote = Remote.parse(url, Secret("x"))
    assert remote.protocol == protocol
    assert (remote.token is None) is (protocol == "file")


@pytest.mark.parametrize(
    "url",
    [
        "http://github.com/a/b",
        "git@github.com:a/b.git",
        "ssh://git@github.com/a/b",
        "ext::sh -c id",
        "relative/path",
        "--upload-pack=evil",
        "file://host/path",
        "https://user:" + "pass@github.com/a/b",
    ],
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Remote.parse(url)
    assert "pass@" not in str(caught.value)


def test_no_other_protocol_is_ever_followed(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="not allowed"):
        run_git(["ls-remote", str(tmp_path)])
    with pytest.raises(GitError, match="not allowed"):
        run_git(["ls-remote", "ext::sh -c true"], remote=Remote.parse("/x"))


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        remote = Remote.parse(f"http://127.0.0.1:{server.getsockname()[1]}/a/b.git")
        with pytest.raises(GitError, match="took longer"):
            run_git(["ls-remote", remote.url], remote=remote, limits=GitLimits(timeout_s=0.5))


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    remote = Remote.parse(f"http://127.0.0.1:{port}/a/b.git")
    with pytest.raises(GitError) as caught:
        run_git(["ls-remote", remote.url], remote=remote)
    assert isinstance(classify_failure(caught.value, remote.url), GitHubUnavailableError)


def test_git_has_a_limit_of_memory_from_its_first_instruction_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path / "bin", monkeypatch, 'ulimit -v; for a in "$@"; do echo "$a"; done')
    lines = run_git(["x"], limits=GitLimits(max_memory=512 * 2**20)).decode().splitlines()
    assert lines[0] == str(512 * 1024)
    assert "pack.threads=1" in lines
    unlimited = run_git(["x"], limits=GitLimits(max_memory=None)).decode().splitlines()
    assert unlimited[0] == "unlimited"
    assert "pack.threads=1" not in unlimited


def test_a_git_without_memory_says_so(tmp_path: Path) -> None:
    run_git(["init", "--quiet", "--bare", str(tmp_path / "r.git")])
    with pytest.raises(GitError) as caught:
        run_git(
            ["hash-object", "-w", "--stdin"],
            git_dir=tmp_path / "r.git",
            stdin=b"x" * (64 * 2**20),
            limits=GitLimits(max_memory=48 * 2**20),
            config=["core.bigFileThreshold=1g"],
        )
    assert caught.value.context["out_of_memory"] is True


@pytest.mark.parametrize("name", ["squire[bot]", "Žofie Bot (CI)", "a 'quoted' one!"])
@pytest.mark.parametrize("email", ["squire@localhost", "12+squire[bot]@users.noreply.github.com", "a&b~c@x-y.de"])
def test_git_signs_with_the_bots_name_and_address_as_the_settings_have_them(
    monkeypatch: pytest.MonkeyPatch, name: str, email: str
) -> None:
    author = commit_author(GitHubSettings(bot_name=name, bot_email=email), None)
    monkeypatch.setenv("GIT_AUTHOR_NAME", author.name)
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", author.email)
    signature = subprocess.run(["git", "var", "GIT_AUTHOR_IDENT"], capture_output=True, text=True, check=True).stdout
    assert signature.startswith(f"{name} <{email}> ")
