"""The page on repositories' own files names every key that one may have."""

import re
from pathlib import Path

from squire_pipelines.repository_files.keys import RepositoryFileSettings
from squire_pipelines.repository_files.parsing import parse_repository_file
from squire_pipelines.settings.keys import leaf_paths

PAGE = Path(__file__).resolve().parents[3] / "docs/guide/repository-settings.md"


def test_the_page_names_every_key_and_no_other() -> None:
    rows = re.findall(r"^\| (`[^|]*`) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    paths = (".".join(path) for path in leaf_paths(RepositoryFileSettings))
    assert named == {path.removesuffix(".usd").removesuffix(".tokens") for path in paths}


def test_the_pages_example_is_valid() -> None:
    example = PAGE.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    assert parse_repository_file("example", example).settings.policy.max_files == 20
