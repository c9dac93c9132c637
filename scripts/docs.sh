#!/usr/bin/env bash
# Builds the documentation into build/site in an environment of its own; warnings are errors.
# Usage: scripts/docs.sh BIN
set -euo pipefail

bin="$1"
cd "$(dirname "$0")/.."
venv=build/docs-venv
[ -x "$venv/bin/mkdocs" ] || {
    "$bin/python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-docs.lock
}
"$venv/bin/mkdocs" build --strict --site-dir build/site
