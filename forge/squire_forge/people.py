"""Acts of people other than the token's owner, for tests: they label and review, with permissions of their own."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from squire_forge import operations, store, store_labels
from squire_forge.errors import RefusedError
from squire_forge.world import View, World


class PersonAct(BaseModel):
    """The body of `POST /_forge/people`: `login` gets `permission`, or acts on pull request `number`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    repository: str = Field(pattern="^[^/]+/[^/]+$")
    login: str = Field(min_length=1)
    permission: Literal["admin", "write", "read", "none"] | None = None
    number: int = 0
    remove_label: str | None = None
    review: Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED"] | None = None


def act_as(world: World, act: PersonAct) -> None:
    """Carry out a person's act. Raises RefusedError when there is no such repository, pull request or label."""
    owner, _, name = act.repository.partition("/")
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        repository = store.find_repository(con, owner, name)
        if repository is None:
            raise RefusedError(f"there is no repository {act.repository}")
        person = store.ensure_account(con, act.login, "User", world.now())
        if act.permission is not None:
            store_labels.set_permission(con, repository, person, act.permission)
        if act.remove_label is None and act.review is None:
            return
        pull = store.pull(con, repository, act.number)
        if pull is None:
            raise RefusedError(f"{act.repository}#{act.number} is not a pull request")
        if act.remove_label is not None:
            operations.remove_label(view, pull, act.remove_label, person)
        if act.review is not None:
            operations.review(view, pull, person, act.review, "")
