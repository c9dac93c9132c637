"""The reader `generic`: a sender of your own, whose body is one fact, or a list of them."""

from collections.abc import Iterable, Iterator
from typing import Any

from squire_pipelines.domain.hook_schemes import StandardScheme
from squire_pipelines.domain.text import shorten
from squire_pipelines.sources.hook_protocol import MAX_TITLE, HookContext, HookFact, refuse_options
from squire_pipelines.sources.protocol import MAX_BODY

_FIELDS = frozenset(HookFact.model_fields)
_LIMITS = {"title": MAX_TITLE, "body": MAX_BODY}


class GenericHook:
    """Reads an object with the fields of a fact, below `data` or not, or a list of such objects.

    A sender's name for a repository may stand in the place of the repository's.
    """

    name = "generic"
    scheme = StandardScheme()

    def read(self, payload: Any, context: HookContext) -> Iterable[HookFact]:
        """Yield the facts of a body; what else it has is passed over."""
        refuse_options(context, self.name)
        return list(_facts(payload, context))


def _facts(payload: Any, context: HookContext) -> Iterator[HookFact]:
    content = (
        payload["data"] if isinstance(payload, dict) and "repository" not in payload and "data" in payload else payload
    )
    for entry in content if isinstance(content, list) else [content]:
        if not isinstance(entry, dict):
            raise ValueError("a fact is an object with repository, key and title")  # noqa: TRY004 - the body is wrong
        values = {name: value for name, value in entry.items() if name in _FIELDS and value is not None}
        for name, limit in _LIMITS.items():
            if isinstance(values.get(name), str):
                values[name] = shorten(values[name], limit)
        repository = values.get("repository")
        if isinstance(repository, str):
            values["repository"] = context.projects.get(repository, repository)
        yield HookFact.model_validate(values)
