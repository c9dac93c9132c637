"""What machines of two versions leave for each other: unknown fields are left out, and missing ones have defaults."""

import json
from datetime import UTC, datetime
from pathlib import Path

from squire_pipelines.assets.plans import PlanConfig
from squire_pipelines.assets.signals import CollectConfig
from squire_pipelines.domain.endings import Evidence
from squire_pipelines.execution.kept_work import ORIGIN_FILE, WorkOrigin, origin_of
from squire_pipelines.file_store import layout
from squire_pipelines.file_store.folder import FolderBackend
from squire_pipelines.file_store.store import FileStore, StoreLimits
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.warehouse.sharing import SharedPublication


def test_kept_work_says_whose_it_is_also_where_a_newer_version_says_more(tmp_path: Path) -> None:
    stored = {"attempt_id": "t1-1", "branch": "squire/t1", "later": {"more": 1}}
    (tmp_path / ORIGIN_FILE).write_text(json.dumps(stored))
    assert origin_of(tmp_path) == WorkOrigin("t1-1", "squire/t1")


def test_evidence_of_a_newer_version_is_read_without_what_is_new_in_it() -> None:
    stored = {"exit_code": 3, "later": True, "facts": {"a": 1}}
    assert read_json(Evidence, stored) == Evidence(exit_code=3, facts={"a": 1})
    assert read_json(Evidence, {}) == Evidence()


def test_a_pointer_to_the_newest_publication_is_read_also_where_a_newer_version_says_more(tmp_path: Path) -> None:
    store = FileStore(FolderBackend(tmp_path), StoreLimits(5, 1, 2**20), "store")
    published = SharedPublication("published/warehouse/1", 3, "ab", datetime(2026, 3, 1, tzinfo=UTC))
    stored = {**json.loads(published.document()), "later": 1}
    store.replace(f"{layout.PUBLISHED}warehouse.json", json.dumps(stored).encode())
    assert SharedPublication.read(store, "warehouse") == published


def test_a_run_that_an_older_steward_asked_for_lacks_nothing() -> None:
    assert CollectConfig().repositories == []
    assert PlanConfig().repositories == []


def test_the_name_of_what_was_stored_before_a_push_says_the_head_and_the_decision() -> None:
    key = layout.of_pushed("t1-1", "ab" * 20, "needs_approval")
    assert layout.pushed_of(key) == ("ab" * 20, "needs_approval")
    for other in ("attempts/t1-1/keep/bundle", "attempts/t1-1/pushed/", "attempts/t1-1/agent.log"):
        assert layout.pushed_of(other) is None
