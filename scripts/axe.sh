#!/bin/sh
# Puts axe-core (MPL-2.0) under build/axe/node_modules/: the browser tests look for barriers to people with it.
set -eu

exec "$(dirname "$0")/npm-packages.sh" axe "axe-core@4.14.1"
