#!/usr/bin/env bash
# Resolves pyproject.toml into requirements.lock (what runs) and requirements-dev.lock (what tests and lints too).
# The locks hold hashes and no addresses, so that pip and uv install them from whatever index a machine uses.
# Usage: scripts/lock.sh BIN
set -euo pipefail

bin="$1"
cd "$(dirname "$0")/.."
common=(--quiet --universal --python-version 3.11 --generate-hashes --no-header --no-strip-extras)
"$bin/uv" pip compile "${common[@]}" --extra postgres pyproject.toml -o requirements.lock
"$bin/uv" pip compile "${common[@]}" --extra postgres --group dev pyproject.toml -o requirements-dev.lock
"$bin/uv" pip compile "${common[@]}" --group pyproject.toml:docs -o requirements-docs.lock
if grep -nE '(https?|file)://' requirements*.lock; then
    echo "squire: error: a lock names an address" >&2
    exit 1
fi
