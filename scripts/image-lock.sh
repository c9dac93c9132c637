#!/usr/bin/env bash
# Writes worker-image/apt.lock from the Debian packages that an image has: after scripts/images.sh --rebuild worker, and a
# run of the tests, this makes what was tested what is built.
#
#   scripts/image-lock.sh [IMAGE]     IMAGE: squire-worker:latest
set -euo pipefail
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

require_engine
docker="$(docker_client)"
image="${1:-squire-worker:latest}"
lock="$root/worker-image/apt.lock"
{
    sed -n '/^#/p' "$lock"
    # shellcheck disable=SC2016  # dpkg's own variables
    timeout 60 "$docker" run --rm --network none --entrypoint dpkg-query "$image" -W -f '${Package}=${Version}\n' |
        LC_ALL=C sort
} >"$lock.part"
mv -f "$lock.part" "$lock"
say "$(grep -vc '^#' "$lock") packages in ${lock#"$root"/}"
