#!/bin/sh
# Puts GitHub's published schemas (GraphQL, REST, webhook examples) under build/github-schemas/node_modules/,
# where the tests of the forge compare our subset with them. Does nothing when the pinned versions are there.
set -eu

graphql_schema="@octokit/graphql-schema@15.26.1"
openapi="@octokit/openapi@23.0.2"
webhooks_examples="@octokit/webhooks-examples@7.6.1"

root=$(cd "$(dirname "$0")/.." && pwd)
target="$root/build/github-schemas"
stamp="$target/.stamp"
wanted="$graphql_schema $openapi $webhooks_examples"

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    echo "github-schemas: up to date"
    exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
    echo "github-schemas: npm is not installed; install Node.js 20 or newer and run this again" >&2
    exit 4
fi
mkdir -p "$target"
rm -f "$stamp"
npm install --prefix "$target" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
    "$graphql_schema" "$openapi" "$webhooks_examples"
# The stamp is written last and by rename, so that an interrupted install is done again.
printf '%s\n' "$wanted" >"$stamp.new"
mv "$stamp.new" "$stamp"
echo "github-schemas: installed in build/github-schemas/node_modules"
