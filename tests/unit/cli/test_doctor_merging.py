"""What the doctor says of merging: a right that is missing, a method that is not allowed, nobody who looks."""

import pytest

from squire_pipelines.cli.doctor.merging import judge_merging
from squire_pipelines.github.merging import MergeRights
from squire_pipelines.sections.merging import MergeSettings

WRITES = MergeRights(squash_merge_allowed=True, viewer_permission="WRITE")
ON = MergeSettings(enabled=True)


@pytest.mark.parametrize(
    ("rights", "merge", "asks", "status", "message"),
    [
        (WRITES, ON, False, "ok", "merges by squash; the token may merge"),
        (
            WRITES.model_copy(update={"auto_merge_allowed": True}),
            ON,
            False,
            "ok",
            "merges by squash, or by auto-merge;",
        ),
        (
            WRITES.model_copy(update={"viewer_permission": "READ"}),
            ON,
            True,
            "fail",
            "the token may not merge here: it has READ",
        ),
        (
            WRITES,
            MergeSettings(enabled=True, method="rebase"),
            True,
            "fail",
            "the repository does not allow rebase: it allows squash",
        ),
        (WRITES, MergeSettings(enabled=True, approvals=0), False, "warn", "merges by squash, and nothing asks that"),
        (WRITES, MergeSettings(enabled=True, approvals=0), True, "ok", "merges by squash; the token may merge"),
        (WRITES.model_copy(update={"viewer_permission": None}), ON, False, "ok", "merges by squash; of an App"),
        (
            WRITES.model_copy(update={"viewer_permission": "ADMIN"}),
            ON,
            False,
            "ok",
            "merges by squash; the token may merge; its",
        ),
    ],
)
def test_each_case_has_its_line(
    rights: MergeRights, merge: MergeSettings, asks: object, status: str, message: str
) -> None:
    row = judge_merging("merging a/b", rights, merge, asks_for_reviews=bool(asks))
    assert row.status == status
    assert row.message.startswith(message)
    assert (row.next_step is None or row.next_step == "") is (status == "ok")
