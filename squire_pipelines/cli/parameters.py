"""Types and completions of the commands' parameters."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from squire_pipelines.domain.identity import parse_repository


class RepositoryType(click.ParamType[str]):
    """`owner/name`, or the URL of a repository's page."""

    name = "owner/name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The repository's name."""
        try:
            return parse_repository(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TaskIdType(click.ParamType[str]):
    """A task's id, completed from the ledger."""

    name = "id"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - the library's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """The newest tasks' ids."""
        from squire_pipelines.cli.quick import complete_task_ids  # noqa: PLC0415 - only completion needs it
        from squire_pipelines.cli.text import one_line  # noqa: PLC0415 - likewise

        config = ctx.find_root().params.get("config")
        found = complete_task_ids(config, incomplete)
        return [CompletionItem(task_id, help=one_line(title, limit=60)) for task_id, title in found]


REPOSITORY = RepositoryType()
TASK_ID = TaskIdType()
repository_option = click.option("--repository", type=REPOSITORY, help="Only this repository.")
