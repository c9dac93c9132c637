"""Task files of a repository: what lies in `.squire/tasks` on its default branch, where only those write who may.

A branch or a pull request's head is never asked for. The forms of the files are those of `sources.task_files`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from pydantic import Field

from squire_pipelines.domain.authority import RepositoryPermission, StartVerdict, TrustRules
from squire_pipelines.domain.signals import ManualTask, Signal, Source
from squire_pipelines.errors import SourceError
from squire_pipelines.github.models import GraphQLModel, Text, parse
from squire_pipelines.github.protocol import GraphQLAnswer
from squire_pipelines.sources.protocol import SourceFact
from squire_pipelines.sources.task_files import SUFFIXES, TaskFile, facts_of, version_of

FOLDER = ".squire/tasks"
MAX_FILES = 50
MAX_FILE_BYTES = 64 * 2**10
_REGULAR_FILES = frozenset({0o100644, 0o100755})  # no symbolic link, whose content is another file's name
Execute = Callable[[str, Mapping[str, object], str], Awaitable[GraphQLAnswer]]


class _TreeEntry(GraphQLModel):
    name: Text
    mode: int
    oid: str
    size: int


class _TaskFolder(GraphQLModel):
    entries: tuple[_TreeEntry, ...] | None = None  # none where that name is not a folder's


class _RepositoryFolder(GraphQLModel):
    task_folder: _TaskFolder | None = None


class _Blob(GraphQLModel):
    text: str | None = None
    is_truncated: bool = False


class _TaskFiles(GraphQLModel):
    """`repository` of the query of files: an alias for each."""

    files: dict[str, _Blob | None] = Field(default_factory=dict)


def names_of(repository: object, *, request: str) -> dict[str, str]:
    """Return the names of the task files in an answer, with their object names.

    Raises SourceError for too much, GitHubError for an answer of another shape.
    """
    names: dict[str, str] = {}
    folder = parse(_RepositoryFolder, repository, request=request).task_folder
    for entry in (folder and folder.entries) or ():
        if entry.mode not in _REGULAR_FILES or not entry.name.endswith(SUFFIXES):
            continue
        if entry.size > MAX_FILE_BYTES:
            raise SourceError(f"{FOLDER}/{entry.name} has more than {MAX_FILE_BYTES} bytes", hint="split it")
        names[entry.name] = entry.oid
    if len(names) > MAX_FILES:
        raise SourceError(f"{FOLDER} has more than {MAX_FILES} task files", hint="put several tasks into one file")
    return names


def files_query(count: int) -> str:
    """Return one GraphQL document that asks for `count` files, each under the alias `f<number>`."""
    parameters = "".join(f", $oid{number}: GitObjectID!" for number in range(count))
    fields = "\n".join(
        f"    f{number}: object(oid: $oid{number}) {{ __typename ... on Blob {{ text isTruncated }} }}"
        for number in range(count)
    )
    return (
        f"query TaskFiles($owner: String!, $name: String!{parameters}) {{\n  rateLimit {{ cost remaining }}\n"
        f"  repository(owner: $owner, name: $name) {{\n{fields}\n  }}\n}}"
    )


async def read_files(execute: Execute, variables: Mapping[str, object], names: Mapping[str, str]) -> list[TaskFile]:
    """Return the files of these names, by their objects, which never change. Raises GitHubError, SourceError."""
    oids = {f"oid{number}": oid for number, oid in enumerate(names.values())}
    request = "the query of task files"
    answer = await execute(files_query(len(names)), {**variables, **oids}, request)
    blobs = parse(_TaskFiles, {"files": answer.whole().get("repository") or {}}, request=request).files
    files = []
    for number, name in enumerate(names):
        blob = blobs.get(f"f{number}")
        if blob is None or blob.text is None or blob.is_truncated:
            raise SourceError(f"{FOLDER}/{name} is no text that GitHub shows whole", hint="save it as UTF-8")
        files.append(TaskFile(name, blob.text.removeprefix("\ufeff").replace("\r\n", "\n")))
    return files


def signals_of(
    repository: str, url: str, files: Sequence[TaskFile], rules: TrustRules, *, seen_at: datetime
) -> tuple[Signal, ...]:
    """Return the signals of a repository's files, whose tasks are for that repository alone. Raises SourceError."""
    verdict = _verdict(rules)
    return tuple(
        _signal(repository, f"{url}/tree/HEAD/{quote(FOLDER)}", fact, verdict, seen_at)
        for fact in facts_of(files, repository, listed=[repository])
    )


def _signal(repository: str, url: str, fact: SourceFact, verdict: StartVerdict, seen_at: datetime) -> Signal:
    return Signal(
        repository=repository,
        key=f"{Source.REPOSITORY_TASKS.key_prefix}{fact.key}",
        version=version_of(fact),
        title=fact.title,
        url=url,
        updated_at=seen_at,
        details=ManualTask(
            author=f"{fact.author} on the default branch",
            body=fact.body,
            branch=fact.branch,
            allow_protected=fact.allow_protected,
        ),
        verdict=verdict,
    )


def _verdict(rules: TrustRules) -> StartVerdict:
    """Return what holds for all that lies on the default branch: it was put there by people who may write."""
    if rules.min_permission.rank > RepositoryPermission.WRITE.rank:
        asked = f"work starts here from people with the permission {rules.min_permission} or more"
        reason = f"it lies on the default branch, where all may put it who may write, and {asked}"
        return StartVerdict(may_start=False, reason=f"{reason}; release it by `squire signals release`")
    return StartVerdict(may_start=True, reason="it lies on the default branch, where only those put it who may write")
