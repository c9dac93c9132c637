# shellcheck shell=bash
# What the engine and image scripts share: messages, bounded commands, the engine's client.
# Sourced, never run. Nothing here changes the machine.

say() { printf 'squire: %s\n' "$*"; }

warn() { printf 'squire: %s\n' "$*" >&2; }

# die EXIT_CODE MESSAGE NEXT_STEP: the exit codes are those of the squire command (4: not reachable).
die() {
    printf 'squire: error: %s\n' "$2" >&2
    if [ -n "${3:-}" ]; then printf '  next: %s\n' "$3" >&2; fi
    exit "$1"
}

# The engine's own client where the distribution ships one: a newer client elsewhere on PATH may want a builder
# that an older engine lacks.
docker_client() {
    if [ -n "${SQUIRE_DOCKER:-}" ]; then printf '%s\n' "$SQUIRE_DOCKER"
    elif [ -x /usr/bin/docker ]; then printf '/usr/bin/docker\n'
    else command -v docker || true; fi
}

# Does an engine answer within five seconds?
engine_answers() {
    local client
    client="$(docker_client)"
    [ -n "$client" ] && timeout 5 "$client" version --format '{{.Server.Version}}' >/dev/null 2>&1
}

engine_version() { timeout 5 "$(docker_client)" version --format '{{.Server.Version}}'; }

require_engine() {
    if ! engine_answers; then
        die 4 "no container engine answers at ${DOCKER_HOST:-the default socket}" "make engine"
    fi
}

# as_root COMMAND…: runs it as root; 1 when that is not possible without asking for a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo -n -- "$@"
    else return 1; fi
}

can_be_root() {
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; }
}

# quietly LOG COMMAND…: its output goes to LOG and is shown only if it fails.
quietly() {
    local log="$1" status=0
    shift
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then tail -n 25 "$log" >&2; fi
    return "$status"
}

# apt_install PACKAGE…: with bounded waits; the package lists are read again only when they are missing a package.
apt_install() {
    local log
    log="$(mktemp)"
    local get=(env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
        apt-get -y -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=30)
    if ! as_root "${get[@]}" install --no-install-recommends "$@" >"$log" 2>&1 </dev/null; then
        quietly "$log" as_root "${get[@]}" update || { rm -f "$log"; return 1; }
        quietly "$log" as_root "${get[@]}" install --no-install-recommends "$@" || { rm -f "$log"; return 1; }
    fi
    rm -f "$log"
}

# The ID and ID_LIKE of this system, e.g. "debian" or "ubuntu debian"; empty where there is no os-release.
os_family() {
    # shellcheck source=/dev/null
    [ -r /etc/os-release ] && (. /etc/os-release && printf '%s %s\n' "${ID:-}" "${ID_LIKE:-}")
    return 0
}
