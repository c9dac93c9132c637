#!/usr/bin/env bash
# Resolves pyproject.toml into requirements.lock (what runs) and, with forge/pyproject.toml, into requirements-dev.lock (the
# demo's forge, and what tests and lints too). Neither names our own two packages: `make setup` installs them from here.
# The locks hold hashes and no addresses, so that pip and uv install them from whatever index a machine uses.
# Usage: scripts/lock.sh BIN
set -euo pipefail

bin="$1"
cd "$(dirname "$0")/.."
common=(--quiet --universal --python-version 3.11 --generate-hashes --no-header --no-strip-extras)
extras=(--extra alerts --extra postgres --extra celery --extra kubernetes --extra s3 --extra bedrock --extra vertex --extra otel)
"$bin/uv" pip compile "${common[@]}" "${extras[@]}" pyproject.toml -o requirements.lock
"$bin/uv" pip compile "${common[@]}" "${extras[@]}" --group dev pyproject.toml forge/pyproject.toml -o requirements-dev.lock
"$bin/uv" pip compile "${common[@]}" --group pyproject.toml:docs -o requirements-docs.lock
if grep -nE '(https?|file)://|^(squire-pipelines|squire-forge|-e|\.)' requirements*.lock; then
    echo "squire: error: a lock names an address or one of our own packages" >&2
    exit 1
fi
