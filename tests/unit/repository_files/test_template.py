"""The file that a repository is offered says nothing as it stands, and anything that it offers is valid."""

import re

from squire_pipelines.repository_files.keys import RepositoryFileSettings
from squire_pipelines.repository_files.parsing import REPOSITORY_FILE, parse_repository_file
from squire_pipelines.repository_files.template import proposed_file
from squire_pipelines.settings.keys import leaf_paths


def test_the_proposed_file_changes_nothing_by_itself() -> None:
    assert parse_repository_file(REPOSITORY_FILE, proposed_file()).settings == RepositoryFileSettings()


def test_every_line_that_it_offers_is_valid_and_every_key_is_offered() -> None:
    text = re.sub(r"^# (?=[a-z_]+ = )", "", proposed_file(), flags=re.MULTILINE)
    file = parse_repository_file(REPOSITORY_FILE, text).file
    offered = {statement.path for statement in file.statements if not statement.is_header}
    assert offered == {path for path in leaf_paths(RepositoryFileSettings) if path[-1] != "tokens"}
