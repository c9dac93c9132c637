#!/usr/bin/env bash
# Makes the virtual environment from the hashed lock: everything that runs, tests and lints the project.
# Usage: scripts/setup.sh VENV. PYTHON names the interpreter (3.11 or newer).
set -euo pipefail

venv="$1"
python="${PYTHON:-python3}"
root="$(cd "$(dirname "$0")/.." && pwd)"

fail() { printf 'squire: error: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if ! usable "$python"; then
    for candidate in python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 && usable "$candidate"; then python="$candidate"; break; fi
    done
fi
usable "$python" || fail "$python is not Python 3.11 or newer ($("$python" --version 2>&1 || echo 'not found'))" \
    "install Python 3.11 or newer and run: make setup PYTHON=/path/to/python3"

if [ ! -x "$venv/bin/python" ] || ! usable "$venv/bin/python"; then
    rm -rf "$venv"
    "$python" -m venv "$venv" >/dev/null 2>&1 || {
        rm -rf "$venv"
        fail "$python has no working venv module" \
            "on Debian and Ubuntu: apt-get install python3-venv; then make setup"
    }
fi
echo "squire: installing the locked packages into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
    --only-binary :all: -r "$root/requirements-dev.lock" \
    || fail "the locked packages could not be installed" "look at pip's message above; docs/troubleshooting.md has the usual causes"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e "$root" -e "$root/forge"
