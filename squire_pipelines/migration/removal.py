"""Takes the secrets out of the old product's files, and says which lines still have one. All other bytes stay."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import yaml  # type: ignore[import-untyped] # no stubs are installed

from squire_pipelines.domain.credentials import find_credentials
from squire_pipelines.errors import ConfigError
from squire_pipelines.migration.dotenv import (
    BYTE_ORDER_MARK,
    MIN_SEARCHED,
    DotenvEntry,
    parse_dotenv,
    without_entries,
)
from squire_pipelines.migration.mapping import SECRET_VARIABLES, OldEntry
from squire_pipelines.migration.old_files import FileForm, OldFile, parse_json, text_of

_MAX_LINES = 20
_TEXT_TAG = "tag:yaml.org,2002:str"


def without_secrets(file: OldFile, form: FileForm, entries: Collection[OldEntry]) -> bytes | None:
    """Return a file without its secrets; None where then nothing is left of it.

    Raises:
        ConfigError: A secret cannot be taken out without changing more.
    """
    hidden = [entry for entry in entries if entry.secret or entry.hides]
    if not hidden:
        return file.content
    if form == "json":
        return _json_without_token(file)
    if form == "yaml":
        return _yaml_without(file, [entry.value for entry in hidden])
    after = without_entries(file.content, _secrets_in(file))
    return after if after.removeprefix(BYTE_ORDER_MARK).strip() else None


def remaining_secrets(content: bytes, form: FileForm, values: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield the number of each line in which a secret is left, the first 20 of them, and what it looks like.

    Of a `.env`, which has secrets of other programs as well, only what repeats one of the old product's counts.

    Args:
        content: Of the file, as it is to be.
        form: Of the file.
        values: The secrets that are taken over.
    """
    searched = [value for value in values if len(value) >= MIN_SEARCHED]
    count = 0
    for number, line in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
        kind = "a secret that is taken over" if any(value in line for value in searched) else ""
        if not kind and (form != "dotenv" or any(name in line for name in SECRET_VARIABLES)):
            kind = next(find_credentials(line), "")
        if kind:
            count += 1
            yield number, kind
        if count >= _MAX_LINES:
            return


def _secrets_in(file: OldFile) -> list[DotenvEntry]:
    entries = [entry for entry in parse_dotenv(file.content) if entry.name in SECRET_VARIABLES]
    for entry in entries:
        if b"\n" in entry.value or not _is_text(entry.value):
            raise ConfigError(
                f"{file.path}: line {entry.line}: the value of {entry.name} is no single line of text; nothing was "
                "changed",
                hint="close its quotes, or take it out",
            )
    return entries


def _is_text(value: bytes) -> bool:
    try:
        return value.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def _json_without_token(file: OldFile) -> bytes | None:
    values = parse_json(file)
    values.pop("githubToken", None)
    if not values.keys() - {"$schema"}:
        return None
    text = text_of(file)
    for pattern in (r'"githubToken"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*', r',\s*"githubToken"\s*:\s*"(?:[^"\\]|\\.)*"'):
        shorter = re.sub(pattern, "", text, count=1)
        if _parsed(shorter) == values:
            return shorter.encode()
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def _parsed(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else None)
    except ValueError:
        return None


def _yaml_without(file: OldFile, values: Collection[str]) -> bytes:
    """Return a file of YAML in which these values are empty texts, without the comments that repeat them."""
    before = text = text_of(file)
    nodes = [node for node in _scalars(yaml.compose(text, Loader=yaml.SafeLoader)) if node.value in values]
    for node in sorted(nodes, key=lambda node: -node.start_mark.index):
        start, end = node.start_mark.index, node.end_mark.index
        # A text of several lines (`|`) ends behind its last line, and the next line has to stay one of its own.
        end -= len(text[start:end]) - len(text[start:end].rstrip())
        text = f'{text[:start]}""{text[end:]}'
    expected = _emptied(yaml.safe_load(before), frozenset(values))
    for candidate in (_without_comments(text, values), text):
        if _loaded(candidate) == expected:
            return candidate.encode()
    raise ConfigError(
        f"{file.path}: the secrets in it cannot be taken out without changing more; nothing was changed",
        hint="take the address of each webhook in it out by hand, and run the command again",
    )


def _scalars(node: Any) -> Iterator[Any]:
    """Yield the texts among the values below a node of YAML."""
    if isinstance(node, yaml.ScalarNode):
        if node.tag == _TEXT_TAG:
            yield node
    elif isinstance(node, yaml.MappingNode):
        for _, member in node.value:
            yield from _scalars(member)
    elif isinstance(node, yaml.SequenceNode):
        for member in node.value:
            yield from _scalars(member)


def _emptied(value: Any, texts: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _emptied(member, texts) for key, member in value.items()}
    if isinstance(value, list):
        return [_emptied(member, texts) for member in value]
    return "" if isinstance(value, str) and value in texts else value


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return None


def _without_comments(text: str, values: Collection[str]) -> str:
    searched = [value for value in map(str.strip, values) if len(value) >= MIN_SEARCHED]
    return "".join(
        line
        for line in text.splitlines(keepends=True)
        if not (line.lstrip().startswith("#") and any(value in line for value in searched))
    )
