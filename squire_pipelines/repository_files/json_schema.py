"""A repository's own file described for editors, as a JSON Schema."""

from typing import Any

from squire_pipelines.repository_files.keys import RepositoryFileSettings
from squire_pipelines.settings.json_schema import schema_of


def repository_schema() -> dict[str, Any]:
    """Return the JSON Schema of `.github/squire.toml`, with each key's description and bounds.

    What the operator permits is not in it: `squire config validate --repository` knows it.
    """
    return schema_of(RepositoryFileSettings, title="Squire's settings of a repository")
