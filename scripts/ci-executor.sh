#!/usr/bin/env bash
# The demo with every step of agent_run in a container of the pipeline's image; afterwards none of them is left.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

make --no-print-directory demo EXECUTOR=docker DEMO_HOME=build/ci/demo-steps
left="$("$(docker_client)" ps --all --quiet --filter label=squire.role | wc -l)"
if [ "$left" -ne 0 ]; then
    "$(docker_client)" ps --all --filter label=squire.role
    die 1 "$left containers were left behind" "see the sensor reaper"
fi
say "no container was left behind"
