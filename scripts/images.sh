#!/usr/bin/env bash
# Builds the project's images, unless the engine has them with exactly this content.
#
#   scripts/images.sh [--rebuild] [--build-arg NAME=VALUE]… [--name TAG] worker|pipeline|all
#
# worker    squire-worker, what agents run in (worker-image/)
# pipeline  squire-pipeline, what Dagster's docker executor runs steps in (deploy/pipeline.Dockerfile)
#
# Each gets two tags: the first 12 digits of a hash over all its inputs (Dockerfile, files copied, build arguments), and
# "latest", or TAG for an image with other build arguments. The three newest hash tags of each are kept. One line for each
# image: tag, size, time.
# --rebuild builds without any cache, for fresh Debian packages. SQUIRE_BUILD_TIMEOUT_S (1800) bounds one build,
# SQUIRE_BUILD_NETWORK is the network of its steps (host, where the engine has no bridge).
# The worker's bill of materials is written to build/sbom/squire-worker.cdx.json.
set -euo pipefail
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"
cd -- "$root"

keep_tags=3
build_timeout_s="${SQUIRE_BUILD_TIMEOUT_S:-1800}"
rebuild=""
alias=latest
build_args=()

# What goes into each image, as paths below the project's root. The .dockerignore of each build allows no more.
worker_inputs=(worker-image/{Dockerfile,.dockerignore,entrypoint.py,squire_worker,opencode.lock,pnpm.lock,apt.lock,apt-install,npm-get,locks})
pipeline_inputs=(.dockerignore deploy/pipeline.Dockerfile requirements.lock pyproject.toml dagster.yaml squire_pipelines worker-image)

usage() { die 2 "$1" "usage: scripts/images.sh [--rebuild] [--build-arg NAME=VALUE]... [--name TAG] worker|pipeline|all"; }

# What BASE_IMAGE is for this build: its name, and its digest where a registry gave it one, else the engine's id of it.
base_name() {
    local argument name=""
    for argument in ${build_args[@]+"${build_args[@]}"}; do
        case "$argument" in BASE_IMAGE=*) name="${argument#BASE_IMAGE=}" ;; esac
    done
    printf '%s\n' "${name:-$(sed -n 's/^ARG BASE_IMAGE=//p' worker-image/Dockerfile | head -n 1)}"
}

base_digest() {
    "$docker" image inspect --format '{{if .RepoDigests}}{{index .RepoDigests 0}}{{else}}{{.Id}}{{end}}' "$1" 2>/dev/null |
        sed 's/.*@//'
}

# The bill of materials out of the image, to build/sbom/: nothing of the image runs for that.
write_sbom() {
    local image="$1" container
    mkdir -p build/sbom
    container="$("$docker" create --network none "$image")"
    "$docker" cp "$container:/usr/share/squire/sbom.cdx.json" build/sbom/squire-worker.cdx.json >/dev/null ||
        warn "$image has no bill of materials"
    "$docker" rm "$container" >/dev/null
}

# The first 12 digits of the hash over names and bytes of the inputs, the base image, and the build arguments.
content_hash() {
    {
        printf 'base %s\n' "$base"
        printf 'arg %s\n' ${build_args[@]+"${build_args[@]}"}
        find "$@" -type f ! -path '*/__pycache__/*' ! -name '*.pyc' ! -name 'README.md' -print0 |
            LC_ALL=C sort -z | xargs -0 -n 200 "${sha256[@]}"
    } | "${sha256[@]}" | cut -c 1-12
}

# BuildKit where the client has it: by plugin, or built in (clients 18 to 22). Else the classic builder.
pick_builder() {
    local major
    major="$(timeout 5 "$docker" version --format '{{.Client.Version}}' | cut -d . -f 1)"
    if timeout 10 "$docker" buildx version >/dev/null 2>&1 || { [ "$major" -ge 18 ] && [ "$major" -le 22 ]; }; then
        printf '1\n'
    else
        printf '0\n'
    fi
}

megabytes() { echo "$(($("$docker" image inspect --format '{{.Size}}' "$1") / 1000000)) MB"; }

prune_tags() {
    local repository="$1" tag
    "$docker" image ls --format '{{.Tag}}' "$repository" | { grep -E '^[0-9a-f]{12}$' || true; } |
        tail -n +$((keep_tags + 1)) | while read -r tag; do
            # An image that a container still uses stays: the engine refuses, and the next build tries again.
            "$docker" image rm "$repository:$tag" >/dev/null 2>&1 || true
        done
}

# build REPOSITORY DOCKERFILE CONTEXT INPUT…
build() {
    local repository="$1" dockerfile="$2" context="$3" started="$SECONDS" tag input log
    shift 3
    for input in "$@"; do
        [ -e "$input" ] || die 1 "$input is missing, and $repository needs it" "make setup, or restore the file from git"
    done
    bash "$root/scripts/base-image.sh" "$(base_name)" >/dev/null
    local base
    base="$(base_digest "$(base_name)")"
    tag="$repository:$(content_hash "$@")"
    if [ -z "$rebuild" ] && "$docker" image inspect "$tag" >/dev/null 2>&1; then
        "$docker" tag "$tag" "$repository:$alias"
        if [ "$repository" = squire-worker ] && [ "$alias" = latest ]; then write_sbom "$tag"; fi
        say "$tag is there, $(megabytes "$tag")"
        return
    fi
    log="$(mktemp)"
    local command=(timeout "$build_timeout_s" "$docker" build --file "$dockerfile" --tag "$tag" --tag "$repository:$alias"
        --label "org.opencontainers.image.base.name=$(base_name)" --label "org.opencontainers.image.base.digest=$base")
    if [ -n "${SQUIRE_BUILD_NETWORK:-}" ]; then command+=(--network "$SQUIRE_BUILD_NETWORK"); fi
    local argument
    for argument in ${build_args[@]+"${build_args[@]}"}; do command+=(--build-arg "$argument"); done
    if [ -n "$rebuild" ]; then command+=(--no-cache); fi
    if ! quietly "$log" env DOCKER_BUILDKIT="$buildkit" BUILDKIT_PROGRESS=plain "${command[@]}" "$context"; then
        die 1 "building $tag failed" "the whole log is $log"
    fi
    rm -f "$log"
    prune_tags "$repository"
    if [ "$repository" = squire-worker ] && [ "$alias" = latest ]; then write_sbom "$tag"; fi
    say "$tag built, $(megabytes "$tag"), $((SECONDS - started)) s"
}

what=""
while [ $# -gt 0 ]; do
    case "$1" in
        --rebuild) rebuild=1 ;;
        --build-arg)
            shift
            case "${1:-}" in *=*) build_args+=("$1") ;; *) usage "--build-arg takes NAME=VALUE" ;; esac ;;
        --name)
            shift
            [[ "${1:-}" =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || usage "--name takes a tag"
            alias="$1" ;;
        worker | pipeline | all) what="$1" ;;
        *) usage "unknown argument: $1" ;;
    esac
    shift
done
[ -n "$what" ] || usage "which image?"

if command -v sha256sum >/dev/null 2>&1; then sha256=(sha256sum); else sha256=(shasum -a 256); fi
require_engine
docker="$(docker_client)"
buildkit="$(pick_builder)"
case "$what" in worker | all) build squire-worker worker-image/Dockerfile worker-image "${worker_inputs[@]}" ;; esac
case "$what" in pipeline | all) build squire-pipeline deploy/pipeline.Dockerfile . "${pipeline_inputs[@]}" ;; esac
