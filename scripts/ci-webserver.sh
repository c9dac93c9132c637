#!/usr/bin/env bash
# Loads the definitions as users do, in a real webserver and with `dg`, and asks for what must be there.
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/python scripts/check_webserver.py
