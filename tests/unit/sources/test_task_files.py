"""Task files in their three forms."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.errors import SourceError
from squire_pipelines.sources.protocol import SourceFact
from squire_pipelines.sources.task_files import MAX_FILE_BYTES, TaskFile, entries_of, facts_of, read_folder

API, WEB = "acme/api", "acme/web"


def facts(name: str, text: str, repository: str = API, *, only: bool = True) -> list[SourceFact]:
    return list(facts_of([TaskFile(name, text)], repository, listed=[repository] if only else [API, WEB]))


def test_each_item_of_the_old_products_list_is_a_task() -> None:
    text = "# Tasks\n\n## Next Up\n- Add --json flag to list command\n- Drop Python 3.9\n  and its tests\n\n# Done\n- X"
    first, second = facts("tasks.md", text)
    assert (first.title, first.body) == ("Add --json flag to list command", "")
    assert (second.title, second.body) == ("Drop Python 3.9", "Drop Python 3.9\nand its tests")


def test_an_item_that_is_ticked_off_is_no_task() -> None:
    text = "- [ ] Open\n- [x] Closed\n- [X] Closed too\n* Starred\n+ Plussed\nnot an item\n  - nested alone\n"
    assert [fact.title for fact in facts("tasks.md", text)] == ["Open", "Starred", "Plussed"]


def test_a_heading_names_the_repository_of_the_items_below_it() -> None:
    text = "## acme/api\n- One\n### Later\n- Two\n## acme/web\n- Three\n"
    assert [fact.title for fact in facts("tasks.md", text, API, only=False)] == ["One", "Two"]
    assert [fact.title for fact in facts("tasks.md", text, "ACME/Web", only=False)] == ["Three"]


def test_a_task_is_known_by_its_words_and_not_by_its_place() -> None:
    before, after = facts("tasks.md", "- One\n- Two\n"), facts("tasks.md", "- Two\n- Zero\n- One\n")
    assert {fact.key for fact in before} < {fact.key for fact in after}


def test_a_file_with_a_block_at_the_top_is_one_task() -> None:
    text = "---\nrepository: acme/api\ntitle: Move to uv\nbranch: next\nallow_protected: ['.github/**']\n---\nSwap pip."
    (fact,) = facts("uv.md", text, only=False)
    assert (fact.key, fact.title, fact.body) == ("uv.md/uv", "Move to uv", "Swap pip.")
    assert (fact.branch, fact.allow_protected) == ("next", (".github/**",))
    assert facts("uv.md", text, WEB, only=False) == []


def test_a_block_without_a_title_takes_the_first_line() -> None:
    (fact,) = facts("uv.md", "---\nbranch: next\n---\n# Move to uv\n\nSwap pip.\n")
    assert fact.title == "Move to uv"


@pytest.mark.parametrize(
    "text",
    ["tasks:\n- {title: One}\n- {title: Two, prompt: Do it}\n", "- {title: One}\n- {title: Two, prompt: Do it}\n"],
)
def test_a_file_of_yaml_has_a_list(text: str) -> None:
    assert [(fact.title, fact.body) for fact in facts("tasks.yaml", text)] == [("One", ""), ("Two", "Do it")]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", "tasks: 3\n", "is a list"),
        ("a.yaml", "- {title: One, colour: red}\n", "colour"),
        ("a.yaml", "- {prompt: Do it}\n", "title"),
        ("a.yaml", "- {title: !!python/object/apply:os.system [id]}\n", "no YAML"),
        ("a.yaml", "[" * 5000, "no YAML"),
        ("a.yaml", "- {title: !!int ''}", "no YAML"),
        ("a.yaml", "- {title: One, repository: nonsense}\n", "repository"),
        ("a.md", "---\n- a list\n---\nbody\n", "keys and values"),
        ("a.md", "---\n: : :\n---\nbody\n", "YAML"),
        ("a.md", "---\nbranch: x\n---\n", "title"),
        ("a.md", "---\ntitle: x\nbranch: a..b\n---\n", "is no name for a branch"),
        ("a.yaml", "- {title: One, branch: --upload-pack=x}\n", "is no name for a branch"),
        ("a.md", "## /etc/passwd\n- One\n", "a.md"),
    ],
)
def test_a_file_of_another_form_is_named_with_the_reason(name: str, text: str, says: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        facts(name, text)
    assert name in str(caught.value)


def test_a_task_without_a_repository_is_refused_where_there_are_several() -> None:
    with pytest.raises(SourceError, match="does not say its repository"):
        facts("tasks.md", "- One\n", only=False)


@given(st.text(max_size=400), st.sampled_from(["a.md", "a.yaml"]))
def test_any_text_is_tasks_or_a_named_error(text: str, name: str) -> None:
    titles = ["no task"]
    with contextlib.suppress(SourceError):  # and nothing else
        titles = [entry.title for entry in entries_of(TaskFile(name, text))]
    assert all(titles)


def test_a_folder_is_read_in_order_and_other_files_are_left(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("\ufeff- B\r\n", encoding="utf-8")
    (tmp_path / "a.yml").write_text("- {title: A}\n", encoding="utf-8")
    (tmp_path / "c.json").write_text("{}", encoding="utf-8")
    files = read_folder(tmp_path)
    assert [file.name for file in files] == ["a.yml", "b.md"]
    assert [fact.title for fact in facts_of(files, API, listed=[API])] == ["A", "B"]
    assert read_folder(tmp_path / "none") == []


@pytest.mark.parametrize(("content", "says"), [(b"x" * (MAX_FILE_BYTES + 1), "more than"), (b"\xff\xfe-", "UTF-8")])
def test_a_file_that_is_too_large_or_no_text_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.md").write_bytes(content)
    with pytest.raises(SourceError, match=says):
        read_folder(tmp_path)


def test_a_task_for_a_repository_that_nobody_listed_is_told() -> None:
    text = "## acme/apii\n- Sort the imports\n"
    with pytest.raises(SourceError, match=r"a.md: the task 'Sort the imports' is for acme/apii") as caught:
        facts_of([TaskFile("a.md", text)], API, listed=[API, WEB])
    assert caught.value.hint == "these are: acme/api, acme/web"
