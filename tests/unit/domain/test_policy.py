import base64
import re
import string
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.canary import canary_for
from squire_pipelines.domain.change import MAX_FINDINGS, ChangedFile, Decision, Finding, JudgedTask, Piece
from squire_pipelines.domain.credentials import entropy, find_credentials, known_pieces
from squire_pipelines.domain.globs import matches
from squire_pipelines.domain.leaks import judge_text
from squire_pipelines.domain.manifests import MANIFESTS
from squire_pipelines.domain.policy import Policy, judge
from squire_pipelines.domain.protected import DEFAULT_PROTECTED, ORDINARY_DOT_FILES
from tests.support.planted_names import RUNS_BY_ITSELF

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


def rules(*files: ChangedFile, policy: Policy = POLICY, **more: Any) -> list[tuple[str, Decision]]:
    task = JudgedTask(**more)
    return [(finding.rule, finding.decision) for finding in judge(files, policy, task=task).findings]


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
        ("a/b/dist/c/d/x.js", "**/dist/**/*.js", True),
        ("dist/x.css", "**/dist/**/*.js", False),
        ("a*b", "a*b", True),
        ("ab/c", "a**c", True),
        ("ab/c", "a*c", False),
        ("?/x", "?", True),
        ("/x", "?", False),
    ],
)
def test_globs(path: str, pattern: str, *, expected: bool) -> None:
    assert (matches(path, [pattern]) is not None) is expected


@pytest.mark.parametrize("pattern", ["*a*a*a*a*a*a*b", "**/" * 40 + "x", "**a" * 20 + "b", "?*" * 30 + "b"])
def test_no_path_is_hard_to_match(pattern: str) -> None:
    began = time.process_time()
    assert not any(matches(path, [pattern]) for path in ("a" * 4000, "a/" * 2000 + "y"))
    assert time.process_time() - began < 2  # a regular expression would not end


HELD, REFUSED = Decision.NEEDS_APPROVAL, Decision.REJECT
WORKFLOW = ".github/workflows/ci.yml"


@pytest.mark.parametrize("path", ["Dockerfile.prod", ".github/dependabot.yml", "a/b/uv.lock"])
def test_a_protected_path_is_refused_unless_the_task_asks_for_it_and_never_allowed(path: str) -> None:
    assert rules(text(path, "x")) == [("protected_path", REFUSED)]
    assert rules(text(path, "x"), asked_paths=("docs/**", path)) == [("protected_path", HELD)]
    assert rules(text(path, "x"), asked_paths=("docs/**",)) == [("protected_path", REFUSED)]


def test_the_settings_may_hold_what_no_task_asked_for() -> None:
    holding = replace(POLICY, hold_unasked=True)
    assert rules(text("Dockerfile", "x"), policy=holding) == [("protected_path", HELD)]
    assert rules(text(WORKFLOW, "x"), policy=replace(holding, forbidden_paths=())) == [("protected_path", REFUSED)]


def test_a_workflow_is_refused_whoever_asks_unless_the_settings_permit_query_runner() -> None:
    for path in (WORKFLOW, ".github/WORKFLOWS/ci.yml", ".github/actions/x/action.yml"):
        assert rules(text(path, "x"), asked_paths=("**",)) == [("forbidden_path", REFUSED)]
    permitted = replace(POLICY, forbidden_paths=())
    assert rules(text(WORKFLOW, "x"), policy=permitted) == [("protected_path", REFUSED)]
    assert rules(text(WORKFLOW, "x"), policy=permitted, asked_paths=(WORKFLOW,)) == [("protected_path", HELD)]
    bare = replace(permitted, protected_paths=())
    assert rules(text(WORKFLOW, "x"), policy=bare) == [("protected_path", REFUSED)]


def test_paths_outside_of_the_allowed_ones_are_refused() -> None:
    policy = replace(POLICY, allowed_paths=("src/**", "docs"))
    assert rules(text("src/a.py", "x"), text("docs/x.md", "x"), policy=policy) == []
    assert rules(text("setup.py", "x"), policy=policy) == [("outside_allowed", REFUSED)]
    assert rules(text("srcx/a.py", "x"), policy=policy, asked_paths=("**",)) == [("outside_allowed", REFUSED)]


def test_a_deletion_of_a_protected_file_counts() -> None:
    assert rules(ChangedFile("CODEOWNERS", "D", "100644", "000000")) == [("protected_path", REFUSED)]


@pytest.mark.parametrize("sign", ["\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041", "\x1b"])
def test_a_line_that_reads_otherwise_than_it_works_is_held(sign: str) -> None:
    assert rules(text("a.py", "fine", f"x = 1 {sign} # x")) == [("hidden_text", HELD)]
    assert rules(replace(text("a.png", f"x{sign}"), binary=True)) == []


def test_ordinary_text_of_all_scripts_passes() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    lines = ("\ufeffusing System;", family, persian, "x\r")
    assert rules(text("a.md", *lines)) == []
    assert rules(text("__snapshots__/a.test.js.snap", "exports[`x`] = `\x1b[31mred\x1b[39m`;")) == []


@pytest.mark.parametrize(
    "path",
    ["so\u00adft.md", "back\\slash.md", "aux.py", "a\u200bb.md", "a\tb.md", "\\xff.md", "-rf", f"{'a' * 5000}.md"],
)
def test_a_path_that_is_there_already_passes_when_it_is_changed_or_removed_and_not_anew(path: str) -> None:
    existing = replace(text(path, "x"), status="M", old_mode="100644")
    assert rules(existing) == []
    assert rules(ChangedFile(path, "D", "100644", "000000", deleted=1)) == []
    assert {rule for rule, _ in rules(text(path, "x"))} & {"path", "name"}
    hiding = replace(text(path, "if user == 'adm\u200bin':"), status="M", old_mode="100644")
    assert rules(hiding) == [("hidden_text", HELD)], "what hides code is found in an old file too"


COLORED = "exports[`x`] = `\x1b[1;31mred\x1b[0m`;"


@pytest.mark.parametrize(
    "path",
    [
        "src/__snapshots__/cli.test.ts.snap",
        "tests/cli.snap",
        "tests/__snapshots__/test_cli.ambr",
        "tests/snapshots/output/full.snapshot.txt",
        "tests/syntax-tests/highlighted/Python/battest.py",
        "tests/ui/error.stderr",
        "pkg/testdata/diff/colored.golden",
        "pkg/testdata/help/colored.txt",
        "tests/fixtures/log.out",
        "test/expected/help",
        "tests/report.approved.txt",
    ],
)
def test_expected_output_may_have_colors_and_nothing_else_that_hides(path: str) -> None:
    assert rules(text(path, "a", COLORED)) == []
    for hiding in ("\x1b[2K\x1b[1A", "\x1b]0;x\x07", "\u202e", "\x08", "\x1b[31", "\u200b"):
        assert rules(text(path, COLORED + hiding + "x")) == [("hidden_text", HELD)]


@pytest.mark.parametrize(
    "path",
    [
        "src/app.py",
        "tests/test_cli.py",
        "tests/fixtures/conftest.py",
        "pkg/testdata/a.go",
        "app/snapshots/a.py",
        "a.md",
    ],
)
def test_what_is_no_expected_output_is_held_for_colors(path: str) -> None:
    assert rules(text(path, COLORED)) == [("hidden_text", HELD)]


@pytest.mark.parametrize("line", ["a\0b", b"caf\xe9".decode("utf-8", "surrogateescape")])
def test_what_is_no_text_is_held_unless_the_settings_allow_its_kind(line: str) -> None:
    assert rules(text("src/a.py", "x = 1", line)) == [("binary", HELD)]
    assert rules(replace(text("src/a.dat"), binary=True)) == [("binary", HELD)]
    assert rules(replace(text("docs/logo.png", line), binary=True)) == []
    allowing = replace(POLICY, binary_paths=("data/**",))
    assert rules(replace(text("data/a.dat"), binary=True), policy=allowing) == []
    assert rules(replace(text("docs/logo.png"), binary=True), policy=allowing) == [("binary", HELD)]
    assert rules(ChangedFile("old.bin", "D", "100644", "000000", binary=True)) == []


@pytest.mark.slow
def test_what_stands_where_nobody_looks_is_held() -> None:
    assert rules(text("a.js", "x" * 1_900_000)) == [("long_line", HELD)]
    assert rules(text("a.js", "x = 1;" + " " * 5000 + "evil()")) == [("hidden_text", HELD)]
    many = replace(POLICY, max_changed_lines=10_000)
    assert rules(text("a.js", "x = 1;", *[""] * 300, "evil()"), policy=many) == [("hidden_text", HELD)]
    assert rules(text("a.js", "x = 1;", *[""] * 300), policy=many) == []


def test_a_new_path_that_is_another_or_none_on_other_machines_is_held() -> None:
    tree = ("README.md", "src/app.py", "readme.md")
    assert [f.rule for f in judge([text("readme.md", "x")], POLICY, tree=tree).findings] == ["name"]
    assert rules(text("src/nul.py", "x")) == [("name", HELD)]
    assert rules(text("-rf", "x")) == [("name", HELD)]


def test_a_link_to_what_the_repository_does_not_have_is_held() -> None:
    tree = ("README.md", "docs/a.md", "link")
    for target, expected in (("README.md", []), ("docs", []), (".", []), (".env", [("symlink", HELD)])):
        link = ChangedFile("link", "A", new_mode="120000", symlink_target=target)
        assert [(f.rule, f.decision) for f in judge([link], POLICY, tree=tree).findings] == expected


DEFAULT = replace(POLICY, protected_paths=DEFAULT_PROTECTED)


FURTHER_CI = ("circle.yml", "shippable.yml", "garnix.yaml", "jenkins-x-pull.yml", "app.gocd.yaml", "Dangerfile.ts")


@pytest.mark.parametrize(
    "path", [*RUNS_BY_ITSELF, *FURTHER_CI, "ios/ci_scripts/ci_post_clone.sh", "appcenter-pre-build.sh"]
)
def test_what_runs_by_itself_is_protected_by_default(path: str) -> None:
    for place in (path, path.upper()):
        assert ("protected_path", REFUSED) in rules(text(place, "x"), policy=DEFAULT)
    assert ("protected_path", HELD) in rules(text(path, "x"), policy=DEFAULT, asked_paths=(path,))


@pytest.mark.parametrize(
    "path",
    [
        "src/app.py",
        "package.json",
        "pyproject.toml",
        "tests/conftest.py",
        "docs/agents.rst",
        "a.changes.md",
        "Makefile",
        "setup.cfg",
        ".changeset/brave-cats-sing.md",
        "assets/.gitkeep",
        "public/.well-known/security.txt",
        ".env.example",
    ],
)
def test_ordinary_files_are_not_protected(path: str) -> None:
    assert rules(text(path, "x"), policy=DEFAULT) == []


@pytest.mark.parametrize(
    "line",
    [
        '"postinstall": "node evil.js"',
        '  "prepare" : "husky"',
        '"trustedDependencies": ["x"]',
    ],
)
def test_a_command_that_runs_on_installation_is_refused_unless_the_task_asks_for_the_manifest(line: str) -> None:
    assert rules(text("web/package.json", "{", line), policy=DEFAULT) == [("install_script", REFUSED)]
    assert rules(text("package.json", line), policy=DEFAULT, asked_paths=("package.json",)) == [
        ("install_script", HELD)
    ]
    for ordinary in ('"test": "jest"', '"version": "1.2.3"', '"installer": "^1.0"', '"husky": "^9"'):
        assert rules(text("package.json", ordinary), policy=DEFAULT) == []


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("package.json", ['"post\\u0069nstall": "x"']),
        ("package.json", ['"postinstall"', ': "x"']),
        ("package.json", ['"dependencies":', '"x"']),
        ("package.json", ['"pnpm:devPreinstall": "x"']),
        ("package.json", ['"gitHooks": {"pre-commit": "x"}']),
        ("composer.json", ['"post-install-cmd": ["x"]']),
        ("composer.json", ['"post-autoload-dump": "x"']),
        ("composer.json", ['"pre-operations-exec": "x"']),
        ("pyproject.toml", ['backend-path = ["."]']),
        ("pyproject.toml", ['"backend\\u002dpath" = ["."]']),
        ("pyproject.toml", ["[tool.hatch.build.hooks.custom]"]),
        ("pyproject.toml", ['[tool."poetry".build]']),
        ("pyproject.toml", ['build = "build.py"']),
        ("setup.cfg", ["cmdclass ="]),
        ("Cargo.toml", ['build = "src/x.rs"']),
        ("Cargo.toml", ["proc-macro = true"]),
    ],
)
def test_a_command_is_found_however_its_manifest_writes_it(path: str, lines: list[str]) -> None:
    assert rules(text(f"a/{path}", "", *lines), policy=DEFAULT) == [("install_script", REFUSED)]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("package.json", '"dependencies": {'),
        ("package.json", '"init": "x"'),
        ("pyproject.toml", 'build-backend = "hatchling.build"'),
        ("pyproject.toml", 'dependencies = ["webhooks", "pre-commit-hooks", "build"]'),
        ("pyproject.toml", 'build = "^1.0"'),
        ("Cargo.toml", 'cc = { version = "1", features = ["parallel"] }'),
    ],
)
def test_ordinary_lines_of_a_manifest_name_no_command(path: str, line: str) -> None:
    assert rules(text(path, line), policy=DEFAULT) == []


def judged(*files: ChangedFile, tree: Sequence[str], links: Sequence[tuple[str, str]], **more: Any) -> list[Any]:
    verdict = judge(files, DEFAULT, task=JudgedTask(**more), tree=tree, links=links)
    return [(finding.rule, finding.decision) for finding in verdict.findings]


def link(path: str, target: str) -> ChangedFile:
    return ChangedFile(path, "A", new_mode="120000", symlink_target=target)


@pytest.mark.parametrize(
    ("path", "target", "file"),
    [
        ("debian", "packaging", "packaging/rules"),
        ("fastlane", "tools", "tools/deep/Fastfile"),
        ("gradle", "g", "g/wrapper/gradle-wrapper.properties"),
    ],
)
def test_a_link_that_gives_a_file_a_protected_name_is_refused_like_the_file(path: str, target: str, file: str) -> None:
    tree, links = (path, file, "README.md"), ((path, target),)
    for change in (link(path, target), text(file, "x")):
        assert judged(change, tree=tree, links=links) == [("protected_path", REFUSED)]
        asked = judged(change, tree=tree, links=links, asked_paths=(f"{path}/**",))
        assert asked == [("protected_path", HELD)]
    assert judged(link("docs/x", "../README.md"), tree=("docs/x", *tree), links=(("docs/x", "../README.md"),)) == []


def test_what_a_protected_link_leads_to_is_protected_through_several_links_too() -> None:
    links = (
        ("CLAUDE.md", "docs/agents.md"),
        (".claude/skills", "../skills"),
        ("skills", "tools/s"),
        ("tools/loop", ".."),
    )
    tree = ("CLAUDE.md", "docs/agents.md", ".claude/skills", "skills", "tools/loop", "tools/s/a.txt", "docs/b.md")
    for path in ("docs/agents.md", "tools/s/a.txt"):
        assert judged(text(path, "x"), tree=tree, links=links) == [("protected_path", REFUSED)]
    assert judged(text("docs/b.md", "x"), tree=tree, links=links) == []


def test_a_manifest_behind_a_link_is_searched_and_a_link_that_makes_one_is_refused() -> None:
    tree, links = ("package.json", "x.json"), (("package.json", "x.json"),)
    assert judged(text("x.json", '"postinstall": "x"'), tree=tree, links=links) == [("install_script", REFUSED)]
    assert judged(link("package.json", "x.json"), tree=tree, links=links) == [("install_script", REFUSED)]


def test_a_file_with_more_names_than_are_looked_for_is_refused() -> None:
    links = tuple((f"l{number}", "a") for number in range(1001))
    assert judged(text("a/b", "x"), tree=("a/b",), links=links) == [("symlink", REFUSED)]


@pytest.mark.parametrize(
    "path",
    [
        ".claude/commands/.changeset/x.md",
        ".vscode/.well-known/tasks.json",
        ".well-known/.envrc",
        ".keep/tasks.json",
        ".env.example/x.sh",
    ],
)
def test_a_file_that_is_content_elsewhere_is_protected_in_a_tools_folder(path: str) -> None:
    assert rules(text(path, "x"), policy=DEFAULT) == [("protected_path", REFUSED)]


def test_the_guide_lists_every_protected_path() -> None:
    guide = (Path(__file__).parents[3] / "docs/guide/policy.md").read_text(encoding="utf-8")
    section = guide.partition("## Protected paths")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([^`\s]*[*/.][^`\s]*)`", section)) == {
        *DEFAULT_PROTECTED,
        *ORDINARY_DOT_FILES,
        *MANIFESTS,
    }


def test_a_pointer_into_lfs_and_a_large_binary_are_held() -> None:
    pointer = text("model.bin", "version https://git-lfs.github.com/spec/v1", "oid sha256:0", "size 1")
    assert rules(pointer) == [("lfs_pointer", HELD)]
    policy = replace(POLICY, max_binary_bytes=100)
    assert rules(ChangedFile("a.png", "A", bytes=101, binary=True), policy=policy) == [("binary_size", HELD)]
    assert rules(ChangedFile("a.png", "A", bytes=1001, binary=True), policy=replace(policy, max_file_bytes=9999)) == [
        ("binary_size", REFUSED)
    ]


KNOWN = "correct-horse-battery-42"


def test_a_known_secret_over_several_files_or_in_their_names_is_found() -> None:
    files = [text("a", "correct-horse-"), text("b", "battery-42")]
    assert rules(*files, known_secrets=(KNOWN,)) == [("secret", REFUSED)]
    names = [text("correct-horse-", "x"), text("battery-42", "x")]
    assert rules(*names, known_secrets=(KNOWN,)) == [("secret", REFUSED)]


def test_the_canary_is_a_finding_of_its_own_wherever_it_is() -> None:
    canary = canary_for("t1-1")
    for lines in ([canary], [canary[::-1]], [base64.b64encode(canary.encode()).decode()], [canary[:20], canary[20:]]):
        assert ("canary", REFUSED) in rules(text("a", *lines), attempt_id="t1-1")
        assert ("canary", REFUSED) not in rules(text("a", *lines), attempt_id="t2-1")
    assert ("canary", REFUSED) in rules(text(f"dir/{canary}", "x"), attempt_id="t1-1")


def test_a_secret_in_any_object_of_the_agents_is_found_although_only_the_last_tree_is_published() -> None:
    task = JudgedTask(attempt_id="t1-1", known_secrets=(KNOWN,))
    for content, rule in (
        (f"tree 0\nx-note {KNOWN}\n\nMend it\n", "secret"),
        (f"tree 0\n\n{canary_for('t1-1')}\n", "canary"),
        ("tree 0\n\ncorrect horse battery 42\n", "secret"),
    ):
        piece = Piece(content.encode(), "the text of commit cccc contains")
        (finding,) = judge([text("a", "x")], POLICY, task=task, pieces=[piece]).findings
        assert (finding.rule, finding.decision) == (rule, REFUSED)
        assert "commit cccc" in finding.message
    # What only looks like a credential, and is gone again, is nobody's business.
    gone = Piece(f"TOKEN={TOKEN}".encode(), "a file of a commit on the way contains")
    assert judge([text("a", "x")], POLICY, task=task, pieces=[gone]).findings == ()


def test_the_text_of_a_pull_request_is_judged_too() -> None:
    task = JudgedTask(attempt_id="t1-1", known_secrets=(KNOWN,))
    assert judge_text("An ordinary text.\nWith lines.", task).decision is Decision.ALLOW
    for leak in (KNOWN, canary_for("t1-1"), "correct horse battery 42", TOKEN.encode().hex()):
        assert judge_text(f"x\n{leak}", task).decision is REFUSED


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


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "a/../b",
        "a//b",
        "./a",
        "a\\b",
        "a\x00b",
        "a\nb",
        "a\tb",
        "a\r",
        "\x1b[2Jb",
        "a\u202eb",
        "a" * 5000,
        "\udcff",
    ],
)
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
    broken = rules(ChangedFile(path, "A", new_mode="120000", bytes=5, symlink_target=target))
    assert broken == ([] if ok else [("symlink", Decision.REJECT)])


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


@pytest.mark.parametrize(
    ("example", "real"),
    [
        ("AKIAIOSFODNN7EXAMPLE", "AKIAQWERTYUIOPASDFGH"),
        (f"ghp_{'EXAMPLE' * 4}", f"ghp_{'a1B2' * 9}"),
        ("sk-EXAMPLE-1-of-a-providers-key", "sk-ant-api03-abcdefgh1234567890"),
        ("xoxb-EXAMPLE-0000000", "xoxb-1234567890-abcdef"),
    ],
)
def test_an_example_hides_no_credential_beside_it(example: str, real: str) -> None:
    (name,) = find_credentials(real)
    for line in (f"{example!r} or {real!r}", f"{real!r} or {example!r}", f"{example} {example} {real}"):
        assert name in find_credentials(line)
        packed = base64.b64encode(line.encode()).decode()
        assert rules(text("a", f"x = {packed!r}")) == [("secret", Decision.REJECT)]
    assert list(find_credentials(f"{example} {example}")) == []


def test_known_secrets_are_found_whatever_they_look_like() -> None:
    known = ["correct horse battery", "short", "first-line-1\nsecond-line-2\n"]
    assert rules(text("a", "x correct horse battery y"), known_secrets=tuple(known)) == [("secret", Decision.REJECT)]
    assert rules(text("a", "  second-line-2"), known_secrets=known) == [("secret", Decision.REJECT)]
    assert rules(text("a", "short"), known_secrets=known) == []
    assert known_pieces(["short", ""]) == ()


def test_the_gravest_finding_comes_first_and_their_number_is_bounded() -> None:
    files = [text("CODEOWNERS", "x"), *(text(f"f{n}", TOKEN) for n in range(300))]
    verdict = judge(files, replace(POLICY, max_files=1000))
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
    assert ("protected_path", Decision.REJECT) in rules(ChangedFile(path, "M"))


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
