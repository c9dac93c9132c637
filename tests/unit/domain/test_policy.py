import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.credentials import entropy, find_credentials, known_pieces
from squire_pipelines.domain.policy import MAX_FINDINGS, ChangedFile, Decision, Finding, Policy, judge, matches

POLICY = Policy(
    protected_paths=(".github/**", "**/CODEOWNERS", "**/.git*", "**/Dockerfile*", "**/uv.lock"),
    max_files=10,
    max_changed_lines=50,
    max_bytes=10_000,
    max_file_bytes=1000,
)
TOKEN = "ghp_" + "x" * 36
NAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12).filter(
    lambda name: not name.startswith(".") and name.lower() not in {"codeowners", "uv.lock"}
)


def rules(*files: ChangedFile, **more: object) -> list[tuple[str, Decision]]:
    return [(finding.rule, finding.decision) for finding in judge(files, POLICY, **more).findings]  # type: ignore[arg-type]


def text(path: str, *lines: str) -> ChangedFile:
    return ChangedFile(path, "A", added=len(lines), bytes=10, added_lines=tuple(enumerate(lines, 1)))


def test_an_ordinary_change_is_allowed() -> None:
    verdict = judge([text("src/app.py", "x = 1"), ChangedFile("old.py", "D", "100644", "000000", deleted=3)], POLICY)
    assert (verdict.decision, verdict.findings) == (Decision.ALLOW, ())


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        (".github/dependabot.yml", ".github/**", True),
        (".GitHub/Dependabot.yml", ".github/**", True),
        ("sub/.github/x", ".github/**", False),
        ("CODEOWNERS", "**/CODEOWNERS", True),
        ("a/b/codeowners", "**/CODEOWNERS", True),
        ("a/b/codeowners.md", "**/CODEOWNERS", False),
        (".gitattributes", "**/.git*", True),
        ("a/.gitmodules", "**/.git*", True),
        ("a/.gitlab/ci.yml", "**/.git*", True),
        ("src/app.py", "src/*.py", True),
        ("src/sub/app.py", "src/*.py", False),
        ("src/sub/app.py", "src/**/*.py", True),
        ("src/app.py", "src/**/*.py", True),
        ("srcx/app.py", "src", False),
        ("src/app.py", "src", True),
        ("a.c", "?.c", True),
        ("ab.c", "?.c", False),
        ("a+c", "a+c", True),
        ("aac", "a+c", False),
        ("new\nline/CODEOWNERS", "**/CODEOWNERS", True),
    ],
)
def test_globs(path: str, pattern: str, *, expected: bool) -> None:
    assert (matches(path, [pattern]) is not None) is expected


def test_protected_paths_need_approval_and_workflows_are_refused() -> None:
    assert rules(text("Dockerfile.prod", "FROM x")) == [("protected_path", Decision.NEEDS_APPROVAL)]
    assert rules(text(".github/dependabot.yml", "x")) == [("protected_path", Decision.NEEDS_APPROVAL)]
    assert rules(text(".github/WORKFLOWS/ci.yml", "x")) == [("forbidden_path", Decision.REJECT)]


def test_what_a_person_allowed_for_the_task_is_allowed() -> None:
    allowed = (".github/workflows/ci.yml", "Dockerfile")
    assert rules(text(".github/workflows/ci.yml", "x"), text("Dockerfile", "x"), allowed_protected=allowed) == []
    assert rules(text(".github/workflows/other.yml", "x"), allowed_protected=allowed) != []


def test_a_deletion_of_a_protected_file_counts() -> None:
    assert rules(ChangedFile("CODEOWNERS", "D", "100644", "000000")) == [("protected_path", Decision.NEEDS_APPROVAL)]


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        "a/.GIT/hooks/x",
        "a/git~1/x",
        ".git. /x",
        ".g\u200cit/x",
        ".git::$INDEX_ALLOCATION/x",
        "\uff0egit/x",
    ],
)
def test_paths_within_a_git_folder_are_rejected(path: str) -> None:
    assert ("git_directory", Decision.REJECT) in rules(text(path, "x"))


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../b", "a//b", "./a", "a\\b", "a\x00b", "a" * 5000, "\udcff"])
def test_paths_that_are_no_ordinary_relative_ones_are_rejected(path: str) -> None:
    assert ("path", Decision.REJECT) in rules(text(path, "x"))


@pytest.mark.parametrize(
    ("path", "target", "ok"),
    [
        ("link", "README.md", True),
        ("a/b/link", "../../README.md", True),
        ("a/link", "../b/c", True),
        ("link", "../x", False),
        ("a/link", "../../x", False),
        ("link", "/etc/passwd", False),
        ("link", "~/x", False),
        ("link", "a/../../x", False),
        ("link", "a/../x", False),
        ("link", "C:/x", False),
        ("link", "..\\x", False),
        ("link", ".git/config", False),
        ("a/link", "../.GIT", False),
        ("link", "", False),
    ],
)
def test_symbolic_links_stay_in_the_tree(path: str, target: str, *, ok: bool) -> None:
    found = rules(ChangedFile(path, "A", new_mode="120000", bytes=5, symlink_target=target))
    assert found == ([] if ok else [("symlink", Decision.REJECT)])


@pytest.mark.parametrize(("old", "new"), [("000000", "160000"), ("160000", "160000"), ("160000", "000000")])
def test_submodules_are_rejected(old: str, new: str) -> None:
    assert rules(ChangedFile("lib", "M", old, new)) == [("submodule", Decision.REJECT)]


def test_becoming_executable_needs_approval() -> None:
    assert rules(ChangedFile("x.sh", "M", "100644", "100755")) == [("mode", Decision.NEEDS_APPROVAL)]
    assert rules(ChangedFile("x.sh", "A", "000000", "100755")) == []
    assert rules(ChangedFile("x.sh", "M", "100755", "100755")) == []
    assert rules(ChangedFile("x.sh", "M", "100755", "100644")) == []


def test_a_mode_that_git_does_not_know_is_rejected() -> None:
    assert rules(ChangedFile("x", "A", "000000", "104755")) == [("mode", Decision.REJECT)]


@pytest.mark.parametrize(
    ("count", "decision"), [(10, Decision.ALLOW), (11, Decision.NEEDS_APPROVAL), (101, Decision.REJECT)]
)
def test_the_number_of_files_is_limited(count: int, decision: Decision) -> None:
    assert judge([ChangedFile(f"f{n}", "A") for n in range(count)], POLICY).decision is decision


@pytest.mark.parametrize(
    ("lines", "decision"), [(50, Decision.ALLOW), (51, Decision.NEEDS_APPROVAL), (501, Decision.REJECT)]
)
def test_the_number_of_lines_is_limited(lines: int, decision: Decision) -> None:
    assert judge([ChangedFile("f", "M", added=lines - 10, deleted=10)], POLICY).decision is decision


def test_bytes_are_limited_for_each_file_and_together() -> None:
    assert rules(ChangedFile("a.png", "A", bytes=1001, binary=True)) == [("file_size", Decision.NEEDS_APPROVAL)]
    assert rules(ChangedFile("a.png", "A", bytes=10_001, binary=True))[0] == ("file_size", Decision.REJECT)
    # The limit for all together is above what ten files of the largest size could hold, so it is lowered here.
    small = Policy((), max_files=100, max_changed_lines=1, max_bytes=100, max_file_bytes=1000)
    assert judge([ChangedFile(f"f{n}", "A", bytes=60) for n in range(2)], small).decision is Decision.NEEDS_APPROVAL
    assert judge([ChangedFile(f"f{n}", "A", bytes=600) for n in range(2)], small).decision is Decision.REJECT


@pytest.mark.parametrize(
    "line",
    [
        f"token = '{TOKEN}'",
        "gho_" + "a" * 16,
        "ghs_" + "b1" * 40 + ".c-d",
        "github_pat_" + "11ABC" * 10,
        "AKIA" + "ABCDEFGH12345678",
        "-----BEGIN RSA PRIVATE " + "KEY-----",
        "-----BEGIN PGP PRIVATE " + "KEY BLOCK-----",
        "xoxb-" + "123456789012-abcdef",
        "sk-" + "proj-" + "aB3dE5fG7hI9jK1lM2nO",
        "postgres://user:" + "hunter22@db/x",
        "AIza" + "Sy" + "aB3" * 11,
        "glpat-" + "aB3dE5fG7hI9jK1lM2nO",
        'PASSWORD="' + "aB3dE5fG7hI9jK1lM2nO" + '"',
        "api_key: " + "0123456789abcdef" * 2,
    ],
)
def test_credentials_in_added_lines_are_rejected(line: str) -> None:
    verdict = judge([text("src/app.py", "fine = True", line)], POLICY)
    assert verdict.decision is Decision.REJECT
    (finding, *_) = verdict.findings
    assert (finding.rule, finding.path, finding.line) == ("secret", "src/app.py", 2)
    assert line.strip("'\"") not in str(finding)


@pytest.mark.parametrize(
    "line",
    [
        "token = os.environ['GITHUB_TOKEN']",
        "def test_the_token_of_a_session_is_renewed_before_it_expires():",
        "password = get_password_from_the_vault_or_ask_the_user()",
        "task-management-and-other-long-kebab-case-words",
        '"integrity": "sha512-aB3dE5fG7hI9jK1lM2nOaB3dE5fG7hI9jK1lM2nO=="',
        "AKIAIOSFODNN7EXAMPLE",
        "api_key = 'your_api_key_goes_here_1234'",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "https://github.com/owner/repo/blob/main/a@b",
        "sk-learn",
        "secret_name = 'some_long_identifier_in_lower_case'",
    ],
)
def test_ordinary_lines_are_no_credentials(line: str) -> None:
    assert list(find_credentials(line)) == []


def test_known_secrets_are_found_whatever_they_look_like() -> None:
    known = ["correct horse battery", "short", "first-line-1\nsecond-line-2\n"]
    assert rules(text("a", "x correct horse battery y"), known_secrets=known) == [("secret", Decision.REJECT)]
    assert rules(text("a", "  second-line-2"), known_secrets=known) == [("secret", Decision.REJECT)]
    assert rules(text("a", "short"), known_secrets=known) == []
    assert known_pieces(["short", ""]) == ()


def test_what_lies_in_between_counts_only_for_what_must_never_be_published() -> None:
    history = [text("leak", TOKEN), text(".github/x", "x"), ChangedFile("m", "A", new_mode="160000")]
    verdict = judge([text("a", "x")], POLICY, history=history)
    assert [(f.rule, f.path) for f in verdict.findings] == [("secret", "leak"), ("submodule", "m")]


def test_the_same_fault_in_head_and_history_is_told_once() -> None:
    assert len(judge([text("leak", TOKEN)], POLICY, history=[text("leak", TOKEN)]).findings) == 1


def test_a_credential_in_a_commit_message_is_rejected() -> None:
    verdict = judge([text("a", "x")], POLICY, messages=[("c" * 40, f"Use {TOKEN}")])
    assert verdict.decision is Decision.REJECT
    assert "cccccccccccc" in verdict.findings[0].message
    assert TOKEN not in verdict.findings[0].message


def test_the_gravest_finding_comes_first_and_their_number_is_bounded() -> None:
    files = [text("CODEOWNERS", "x"), *(text(f"f{n}", TOKEN) for n in range(300))]
    verdict = judge(files, POLICY)
    assert len(verdict.findings) == MAX_FINDINGS
    assert {finding.decision for finding in verdict.findings} == {Decision.REJECT}


def test_a_finding_reads_as_a_line() -> None:
    assert str(Finding("secret", "a.py", 3, "adds a token", Decision.REJECT)) == "a.py:3: adds a token [secret]"
    assert (
        str(Finding("mode", "a.py", None, "becomes executable", Decision.REJECT)) == "a.py: becomes executable [mode]"
    )
    assert str(Finding("files", None, None, "11 files", Decision.REJECT)) == "11 files [files]"


def test_entropy() -> None:
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2
    assert entropy("") == 0


@given(st.lists(NAMES, min_size=1, max_size=5), st.sampled_from(["CODEOWNERS", "Codeowners", "UV.LOCK", ".gitignore"]))
def test_a_protected_name_is_found_at_any_depth_in_any_case(folders: list[str], name: str) -> None:
    path = "/".join([*folders, name])
    assert ("protected_path", Decision.NEEDS_APPROVAL) in rules(ChangedFile(path, "M"))


@given(
    st.text(string.printable, max_size=200),
    st.text(string.ascii_letters + string.digits, min_size=16, max_size=255),
    st.sampled_from(["ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_"]),
    st.text(string.printable, max_size=200),
)
def test_a_github_token_of_any_length_is_found_within_any_text(before: str, body: str, prefix: str, after: str) -> None:
    line = f"{before} {prefix}{body} {after}"
    if "EXAMPLE" not in body:
        assert "a GitHub token" in list(find_credentials(line))


@given(st.lists(st.tuples(NAMES, st.integers(0, 200), st.integers(0, 3000)), max_size=30))
def test_more_change_is_never_judged_milder(changes: list[tuple[str, int, int]]) -> None:
    files = [ChangedFile(name, "M", added=lines, bytes=size) for name, lines, size in changes]
    decisions = [judge(files[:count], POLICY).decision for count in range(len(files) + 1)]
    assert decisions == sorted(decisions)


@given(st.text(max_size=300))
def test_any_path_is_judged_without_an_error(path: str) -> None:
    assert judge([ChangedFile(path, "A", new_mode="120000", symlink_target=path)], POLICY).decision in Decision
