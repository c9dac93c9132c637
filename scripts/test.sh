#!/usr/bin/env bash
# Runs all tests in four processes (they wait more than they work) and checks the coverage floors: 90 % over all, 95 % on the critical packages.
# All of them have 75 minutes. A process of tests that dies ends the run: pytest-xdist would wait for its last test for ever.
# Usage: scripts/test.sh BIN [PYTEST ARGUMENT]...
set -euo pipefail

bin="$1"
shift
root="$(cd "$(dirname "$0")/.." && pwd)"
cd "$root"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
data="$root/build/coverage"
rm -rf "$data"
mkdir -p "$data"
export COVERAGE_FILE="$data/data"

# Many tests start Python: without its compiled files most of their time is spent on compiling.
unset PYTHONDONTWRITEBYTECODE

# Here once, since each process of tests that needs one would build it at the same time.
if [ "$#" -eq 0 ] && engine_answers; then timeout 15m "$bin/squire" agents build claude-code codex; fi

status=0
timeout --kill-after=30 75m "$bin/python" -m pytest -n "${SQUIRE_TEST_WORKERS:-4}" --dist worksteal --max-worker-restart 0 --durations 25 --durations-min 5 --cov --cov-report= "$@" | tee "$data/pytest.txt" || status=$?
if [ "$status" -eq 124 ]; then echo "squire: error: the tests did not end within 75 minutes" >&2; fi
if [ "$status" -ne 0 ] || [ "$#" -gt 0 ]; then exit "$status"; fi

"$bin/python" scripts/coverage_floors.py
# The closing line once more, so that it is the last thing to be read.
tail -n 1 "$data/pytest.txt"
