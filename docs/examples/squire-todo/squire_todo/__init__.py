"""A source of signals: each line `owner/name: text` of a file is a fact about that repository.

In the settings:

    [sources.todo]
    may_start = true
    options = { file = "/srv/todo.txt" }
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from squire_pipelines.sources.protocol import SourceContext, SourceFact


class TodoList:
    """Reads the file that the options name, for one repository at a time."""

    name = "todo"
    description = "Lines of a file with things to do."

    def read(self, context: SourceContext) -> Iterator[SourceFact]:
        """Yield a fact for each line about the repository; what is raised here is the reading's error."""
        path = Path(context.options["file"])
        for line in path.read_text(encoding="utf-8").splitlines():
            repository, separator, text = line.partition(":")
            if separator and repository.strip().casefold() == context.repository.casefold():
                key = hashlib.sha256(text.strip().encode()).hexdigest()[:12]
                yield SourceFact(key=key, title=text.strip()[:300], body=text.strip())
