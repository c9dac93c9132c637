"""Manifests that ordinary work changes, and the lines of them that name what runs on installation or at a commit. Pure.

Such a file is a program's data, so that its escapes are undone before it is searched, and a name and what follows it
may stand on different lines.
"""

import re
from collections.abc import Mapping, Sequence

from squire_pipelines.domain.globs import matches

_NPM = (
    r'"(?:(?:pre|post)?install|(?:pre|post)?prepare|prepublish(?:Only)?|(?:pre|post)pack|pnpm:devPreinstall'
    r'|dependenciesMeta|gypfile|trustedDependencies|onlyBuiltDependencies)"\s*:|"dependencies"\s*:\s*"'
    r'|"(?:husky|simple-git-hooks|lint-staged|nano-staged|git-?hooks|ghooks|pre-commit)"\s*:\s*[\[{]'
)
_COMPOSER = (
    r'"(?:(?:pre|post)-(?:install|update|status|archive)-cmd|(?:pre|post)-autoload-dump|post-root-package-install'
    r"|post-create-project-cmd|pre-operations-exec|(?:pre|post)-package-(?:install|update|uninstall)|init|command"
    r'|(?:pre|post)-file-download|pre-command-run|pre-pool-create|allow-plugins)"\s*:'
)
_PYPROJECT = (
    r"\bbackend-path\b|\bcmdclass\b|\bhooks\s*[\"']?\s*[.=\]]|\btool[\s.\"']+poetry[\s.\"']+build\b"
    r"|\bbuild\s*=[^#\n]*\.py\b"
)
_CARGO = r"(?:^|[.{,])\s*[\"']?build[\"']?\s*=\s*[\"'\[]|\bproc-macro[\"']?\s*=\s*true"

MANIFESTS: Mapping[str, str] = {
    "**/package.json": _NPM,
    "**/composer.json": _COMPOSER,
    "**/pyproject.toml": _PYPROJECT,
    "**/setup.cfg": r"\bcmdclass\b",
    "**/Cargo.toml": _CARGO,
}
"""Patterns of their paths, and what names a command in them."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(/))")


def is_manifest(path: str) -> bool:
    """Return whether a path is one of these manifests."""
    return matches(path, tuple(MANIFESTS)) is not None


def named_command(path: str, lines: Sequence[tuple[int, str]]) -> tuple[int, str] | None:
    """Return the line number and the name of the first command that new lines of a manifest name, or None.

    Args:
        path: The manifest's.
        lines: Number and text of each.
    """
    pattern = matches(path, tuple(MANIFESTS))
    if pattern is None:
        return None
    text = "\n".join(_ESCAPE.sub(_character, line) for _, line in lines)
    command = re.compile(MANIFESTS[pattern], re.IGNORECASE | re.MULTILINE).search(text)
    return None if command is None else (lines[text.count("\n", 0, command.start())][0], command[0].strip())


def _character(match: re.Match[str]) -> str:
    *codes, plain = match.groups()
    code = next((int(digits, 16) for digits in codes if digits), None)
    # A line break would change the count of lines.
    return plain or (chr(code) if code is not None and 0x20 <= code < 0x110000 else " ")  # noqa: PLR2004 - Unicode's end
