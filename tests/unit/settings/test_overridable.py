"""What a repository may have of its own is read as what holds there, never as what holds for all."""

import ast

from squire_pipelines.settings.overridable import OVERRIDABLE
from tests.support import house

# These define the settings, or put them together.
_OF_THE_SETTINGS = ("squire_pipelines/settings/", "squire_pipelines/sections/", "squire_pipelines/repository_files/")


def test_how_pull_requests_are_followed_is_read_for_their_repository() -> None:
    assert "follow" in OVERRIDABLE
    general = [
        f"{path}:{node.lineno}"
        for path, tree in house.modules().items()
        if path.startswith("squire_pipelines/") and not path.startswith(_OF_THE_SETTINGS)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "follow"
    ]
    assert general == [], "use settings.follow_for(repository)"
