#!/usr/bin/env bash
# Makes the base image and builds ours where an engine answers; says so in one line where none does.
# Usage: scripts/images-if-engine.sh worker|pipeline|all
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"

if ! engine_answers; then
    warn "no container engine answers: no images are built (make engine installs one on Debian and Ubuntu)"
    exit 0
fi
"$here/base-image.sh"
"$here/images.sh" "$1"
