#!/usr/bin/env bash
# Compares two images file by file: path, mode, owner, size, content. Times are not compared.
#
#   scripts/image-diff.sh IMAGE OTHER
#   scripts/image-diff.sh --rebuild      the worker's image against a second build of it without any cache
#
# Exit 0: the same. 1: they differ, and the lines say where (at most 200). 4: no engine answers.
set -euo pipefail
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

files_of() {
    local container
    container="$(timeout 60 "$docker" create --network none "$1")"
    timeout 300 "$docker" export "$container" | python3 "$root/scripts/image_files.py" >"$2"
    timeout 60 "$docker" rm "$container" >/dev/null
}

case "$#:${1:-}" in
    1:--rebuild | 2:[!-]*) ;;
    *) die 2 "wrong arguments" "usage: scripts/image-diff.sh IMAGE OTHER | --rebuild" ;;
esac
require_engine
docker="$(docker_client)"
work="$(mktemp -d)"
trap 'rm -rf -- "$work"' EXIT
if [ "$1" = --rebuild ]; then
    "$root/scripts/images.sh" --name diff-1 worker
    first=squire-worker:diff-1 second=squire-worker:diff-2
    "$root/scripts/images.sh" --rebuild --name diff-2 worker
else
    first="$1" second="$2"
fi
files_of "$first" "$work/first"
files_of "$second" "$work/second"
if [ "$1" = --rebuild ]; then "$docker" image rm "$first" "$second" >/dev/null; fi
if diff -U0 "$work/first" "$work/second" >"$work/diff"; then
    say "the same $(wc -l <"$work/first") files"
else
    { grep -E '^[-+][^-+]' "$work/diff" || true; } | head -n 200
    say "they differ in $(grep -cE '^[-+][^-+]' "$work/diff") lines of $(wc -l <"$work/first")"
    exit 1
fi
