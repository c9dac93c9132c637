#!/bin/sh
# Puts GitHub's published schemas (GraphQL, REST, webhook examples) under build/github-schemas/node_modules/,
# where the tests of the forge compare our subset with them.
set -eu

exec "$(dirname "$0")/npm-packages.sh" github-schemas \
    "@octokit/graphql-schema@15.26.1" "@octokit/openapi@23.0.2" "@octokit/webhooks-examples@7.6.1"
