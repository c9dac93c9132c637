#!/usr/bin/env bash
# What continuous integration needs of the system beyond the container engine: git, Python with venv, Node.js for the
# published schemas, a database server for the ledger's tests, Redis for those of the queue, and a browser for those of pages.
# Installs only what is missing.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"

missing=()
command -v git >/dev/null 2>&1 || missing+=(git)
command -v make >/dev/null 2>&1 || missing+=(make)
command -v ps >/dev/null 2>&1 || missing+=(procps)
command -v npm >/dev/null 2>&1 || missing+=(npm)
command -v chromium >/dev/null 2>&1 || missing+=(chromium)
command -v redis-server >/dev/null 2>&1 || missing+=(redis-server)
[ -d /usr/lib/postgresql ] || missing+=(postgresql)
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing+=(python3 python3-venv)

if [ "${#missing[@]}" -eq 0 ]; then
    say "system packages: nothing is missing"
    exit 0
fi
command -v apt-get >/dev/null 2>&1 || die 4 "these are missing: ${missing[*]}" "install them with your package manager"
say "installing ${missing[*]}"
log="$(mktemp)"
quietly "$log" as_root apt-get update
quietly "$log" as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
rm -f "$log"
