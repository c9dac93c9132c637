"""A cheap look at many repositories: one query asks for up to a hundred of them what has changed.

What follows from a look is decided in `domain.looks`.
"""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pydantic import Field

from squire_pipelines.domain.failures import FAILED_CONCLUSIONS
from squire_pipelines.domain.looks import KnownRepository, RepositoryLook, RepositoryState, identify
from squire_pipelines.errors import (
    GitHubError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubUnavailableError,
    GitHubValidationError,
)
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GraphQLModel, Text, parse
from squire_pipelines.github.protocol import GraphQLAnswer
from squire_pipelines.github.query_texts import load_query

REPOSITORIES_PER_QUERY = 100
"""With three connections each: 300 of them, which is 3 points.

https://docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
"""

_GONE, _LEGAL = 410, 451
_COUNTS = frozenset({"checkRunCountsByState", "statusContextCountsByState"})
LookResult = RepositoryLook | GitHubError


@dataclass(slots=True)
class Looks:
    """What repositories show. Those without a credential were not asked about: their result says why not."""

    results: dict[str, LookResult] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)


class _FileName(GraphQLModel):
    oid: str


class _Glance(GraphQLModel):
    database_id: int | None = Field(default=None, alias="databaseId")
    name_with_owner: Text
    is_archived: bool = False
    settings_file: _FileName | None = None


async def look_at(client: GitHubClient, repositories: Sequence[str]) -> Looks:
    """Return what each repository shows, or the error of it alone.

    A query that GitHub does not answer is asked again in halves, so that one repository's trouble is not the others'.
    """
    by_owner: dict[str, list[str]] = defaultdict(list)
    for repository in dict.fromkeys(repositories):
        by_owner[repository.partition("/")[0].casefold()].append(repository)
    looks = Looks()
    await asyncio.gather(*(_find_credentials(client, looks, names) for names in by_owner.values()))
    by_credential: dict[str, list[str]] = defaultdict(list)
    for repository, credential in looks.credentials.items():
        by_credential[credential].append(repository)
    chunks = [
        names[start : start + REPOSITORIES_PER_QUERY]
        for names in by_credential.values()
        for start in range(0, len(names), REPOSITORIES_PER_QUERY)
    ]
    for results in await asyncio.gather(*(_look_at_chunk(client, chunk) for chunk in chunks)):
        looks.results |= results
    return looks


async def _find_credentials(client: GitHubClient, looks: Looks, names: Sequence[str]) -> None:
    """Find out who asks about the repositories of one owner. What fails for all of them is asked once."""
    for place, name in enumerate(names):
        try:
            looks.credentials[name] = await client.credential(name)
        except (GitHubNotFoundError, GitHubPermissionError) as error:
            looks.results[name] = error
        except GitHubError as error:
            looks.results |= dict.fromkeys(names[place:], error)
            return


async def _look_at_chunk(client: GitHubClient, names: Sequence[str]) -> dict[str, LookResult]:
    variables: dict[str, object] = {}
    for number, repository in enumerate(names):
        owner, _, name = repository.partition("/")
        variables |= {f"owner{number}": owner, f"name{number}": name}
    request = f"the look at {len(names)} repositories"
    try:
        answer = await client.execute(batch_query(len(names)), variables, request=request, repository=names[0])
    except (GitHubUnavailableError, GitHubValidationError) as error:
        if len(names) == 1 or "reason" in error.context:
            return dict.fromkeys(names, error)
        halves = (names[: len(names) // 2], names[len(names) // 2 :])
        first, second = [await _look_at_chunk(client, half) for half in halves]
        return first | second
    except GitHubError as error:
        return dict.fromkeys(names, error)
    return {repository: _read_look(answer, f"r{number}", repository) for number, repository in enumerate(names)}


def batch_query(count: int) -> str:
    """Return one GraphQL document that looks at `count` repositories, each under the alias `r<number>`."""
    parameters = ", ".join(f"$owner{number}: String!, $name{number}: String!" for number in range(count))
    fields = "\n".join(
        f"  r{number}: repository(owner: $owner{number}, name: $name{number}) {{ ...Look }}" for number in range(count)
    )
    return (
        f"query RepositoryLooks({parameters}) {{\n  rateLimit {{ cost remaining }}\n{fields}\n}}\n{load_query('look')}"
    )


def _read_look(answer: GraphQLAnswer, alias: str, repository: str) -> LookResult:
    content = answer.data.get(alias)
    errors = [failed.error for failed in answer.errors if failed.path[:1] == (alias,)]
    if not isinstance(content, dict):
        return errors[0] if errors else GitHubNotFoundError(f"GitHub shows no repository {repository}")
    try:
        glance = parse(_Glance, content, request=f"the look at {repository}")
    except GitHubError as error:
        return error
    # What cannot be seen, such as the checks without a permission, looks the same each time.
    blob = glance.settings_file.oid if glance.settings_file is not None else None
    return RepositoryLook(glance.database_id, glance.name_with_owner, _digest(content), glance.is_archived, blob)


def _digest(content: dict[str, Any]) -> str:
    """Return what changes with anything that a look shows, but not with how far checks have come that did not fail."""
    text = json.dumps(_without_progress(content), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def replaced_error(known: KnownRepository | None, result: LookResult | None, repository: str) -> GitHubError | None:
    """Return why a repository is not worked on whose name another one has now; None for any other."""
    if not isinstance(result, RepositoryLook):
        return None
    state, message = identify(known, result, repository)
    if state is not RepositoryState.REPLACED:
        return None
    return GitHubNotFoundError(
        message or "",
        hint=f"if it is: `squire signals collect {repository} --accept-replaced`; otherwise correct `repositories`, "
        "where the one before may have another name now",
        context={"github_id": result.github_id},
    )


def _without_progress(shown: Any) -> Any:
    """Return the content with the counts of failed checks alone: runs that go on would make a reading at each look."""
    if isinstance(shown, list):
        return [_without_progress(part) for part in shown]
    if not isinstance(shown, dict):
        return shown
    return {
        name: [count for count in part if _is_of_failures(count)]
        if name in _COUNTS and isinstance(part, list)
        else _without_progress(part)
        for name, part in shown.items()
    }


def _is_of_failures(count: Any) -> bool:
    return isinstance(count, dict) and str(count.get("state")).lower() in FAILED_CONCLUSIONS


async def explain_missing(client: GitHubClient, repository: str, known: KnownRepository) -> GitHubError:
    """Return why a repository is not shown: REST tells apart what GraphQL calls not found."""
    try:
        await client.get(f"/repos/{quote(repository, safe='/')}")
    except GitHubPermissionError as error:
        return GitHubPermissionError(
            f"GitHub does not let the token read {repository}: {error.message}",
            hint=f"{error.hint}; or take it out of `repositories`",
            context=error.context,
        )
    except GitHubNotFoundError as error:
        return GitHubNotFoundError(
            _missing(repository, error.context.get("status"), known),
            hint="take it out of `repositories`, or check the name and give the token access to it",
            context=error.context,
        )
    except GitHubError as error:
        return error
    return GitHubUnavailableError(
        f"GitHub shows {repository} by REST and not by GraphQL",
        hint="look again later; see https://www.githubstatus.com",
    )


def _missing(repository: str, status: object, known: KnownRepository) -> str:
    if status == _LEGAL:
        return f"{repository} is not available for legal reasons (451)"
    if status == _GONE:
        return f"{repository} is gone for good (410)"
    if known.github_id is not None and known.looked_at is not None:
        return (
            f"{repository} (id {known.github_id}) was last seen at {known.looked_at:%Y-%m-%d %H:%M} UTC; since then it "
            "was deleted or made private, or the token lost its access"
        )
    return f"there is no repository {repository}, or the token may not see it"
