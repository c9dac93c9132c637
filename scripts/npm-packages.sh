#!/bin/sh
# Puts pinned npm packages that only tests use under build/NAME/node_modules/, without running any code of theirs.
# Does nothing when these versions are there. Usage: scripts/npm-packages.sh NAME PACKAGE@VERSION...
set -eu

name="$1"
shift
root=$(cd "$(dirname "$0")/.." && pwd)
target="$root/build/$name"
stamp="$target/.stamp"
wanted="$*"

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    echo "$name: up to date"
    exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
    echo "$name: npm is not installed; install Node.js 20 or newer and run this again" >&2
    exit 4
fi
mkdir -p "$target"
rm -f "$stamp"
npm install --prefix "$target" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund "$@"
# The stamp is written last and by rename, so that an interrupted install is done again.
printf '%s\n' "$wanted" >"$stamp.new"
mv "$stamp.new" "$stamp"
echo "$name: installed in build/$name/node_modules"
