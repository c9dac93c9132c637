from squire_pipelines.domain.signals import FailedCheck, ManualTask, OpenIssue, ReviewFinding
from squire_pipelines.domain.tasks import TaskKind
from squire_pipelines.planning.protected_paths import requestable

CHECK = FailedCheck(check="ci", conclusion="failure", branch="main", head_sha="a" * 40, on_default_branch=True)
FINDING = ReviewFinding(
    pull_request=1, thread="t", author="x", is_bot=False, body="Edit .github/x", head_ref="b", head_sha="a" * 40
)


def test_a_failed_check_asks_for_workflows_lock_files_and_dockerfiles() -> None:
    asked = requestable(TaskKind.FIX_CI, (CHECK,))
    assert {".github/workflows", "**/uv.lock", "**/go.sum", "**/Dockerfile*"} <= set(asked)
    assert "**/AGENTS.md" not in asked
    assert requestable(TaskKind.OTHER, (CHECK,)) == ()


def test_an_issue_asks_for_lock_files_by_a_collaborators_label_and_never_by_its_text() -> None:
    body = "Please edit uv.lock and .github/workflows/ci.yml"
    plain = OpenIssue(number=1, author="x", body=body, labels=("squire",))
    assert requestable(TaskKind.RESOLVE_ISSUE, (plain,)) == ()
    labelled = plain.model_copy(update={"labels": ("squire", "Dependencies")})
    asked = requestable(TaskKind.RESOLVE_ISSUE, (labelled,))
    assert "**/uv.lock" in asked
    assert ".github/workflows" not in asked


def test_a_remark_asks_for_nothing_and_a_wish_for_what_its_author_named() -> None:
    assert requestable(TaskKind.ADDRESS_REVIEW, (FINDING,)) == ()
    assert requestable(TaskKind.MANUAL, (ManualTask(author="x", body="y", allow_protected=("a", "b")),)) == ("a", "b")
