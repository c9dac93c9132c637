#!/usr/bin/env bash
# make engine: makes sure that a container engine answers. Installs and starts Docker on Debian and Ubuntu when none
# does; everywhere else it says what to do. Safe to run again and again.
#
#   scripts/engine.sh            exit 0: an engine answers; 4: none, with the next step on stderr
#
# SQUIRE_ENGINE_WAIT_S (60): how long a started engine may take to answer. SQUIRE_ENGINE_LOG: where an engine started
# without systemd logs (/var/log/squire-dockerd.log).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

wait_s="${SQUIRE_ENGINE_WAIT_S:-60}"
log="${SQUIRE_ENGINE_LOG:-/var/log/squire-dockerd.log}"

has_systemd() { [ "$(cat /proc/1/comm 2>/dev/null)" = systemd ]; }

install_engine() {
    case " $(os_family) " in
        *" debian "* | *" ubuntu "*) ;;
        *) die 4 "no container engine answers, and this script installs one only on Debian and Ubuntu" \
            "install Docker Engine or Docker Desktop, start it, then run 'make engine' again" ;;
    esac
    can_be_root || die 4 "no container engine is installed, and installing it needs root" \
        "run: sudo scripts/engine.sh"
    # cgroupfs-mount: without systemd nothing else mounts the control groups.
    local packages=(docker.io iptables)
    if ! has_systemd && ! mountpoint -q /sys/fs/cgroup; then packages+=(cgroupfs-mount); fi
    apt_install "${packages[@]}" || die 4 "apt-get could not install ${packages[*]}" \
        "see the lines above; 'apt-get update' may help"
}

# An engine that was killed leaves its number behind, which may be another process's by now: the next one would refuse
# to start beside it, or wait for it.
forget_dead_engine() {
    command -v ps >/dev/null 2>&1 || return 0
    lives dockerd || as_root rm -f /var/run/docker.pid
    lives containerd || as_root rm -f /var/run/docker/containerd/containerd.pid
}

# lives NAME: a process of that name that is more than an entry which nobody has collected.
lives() { ps -C "$1" -o stat= | grep -qv '^Z'; }

start_engine() {
    can_be_root || die 4 "an engine is installed but does not answer, and starting it needs root" \
        "run: sudo scripts/engine.sh (or, if it runs, add yourself to the group 'docker')"
    if has_systemd; then
        as_root systemctl start docker || die 4 "systemctl could not start docker" "journalctl -u docker -n 50"
        return
    fi
    forget_dead_engine
    # A shell's background child ignores SIGINT and SIGTERM, and dockerd would inherit that: it could never be stopped.
    # shellcheck disable=SC2016  # the inner shell expands these
    as_root sh -c 'env --default-signal=INT --default-signal=TERM setsid dockerd >>"$1" 2>&1 </dev/null &' sh "$log"
}

wait_for_engine() {
    local deadline=$((SECONDS + wait_s))
    until engine_answers; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            if [ -r "$log" ]; then tail -n 15 "$log" >&2; fi
            if has_systemd; then die 4 "the engine did not answer within ${wait_s} s" "journalctl -u docker -n 50"; fi
            die 4 "the engine did not answer within ${wait_s} s" "see the lines above, and $log"
        fi
        sleep 0.3
    done
}

main() {
    if engine_answers; then
        say "engine $(engine_version) answers"
        return
    fi
    if [ -n "${DOCKER_HOST:-}" ]; then
        die 4 "DOCKER_HOST is $DOCKER_HOST, and nothing answers there" \
            "start that engine, or unset DOCKER_HOST to use the local one"
    fi
    command -v dockerd >/dev/null 2>&1 || [ -x /usr/sbin/dockerd ] || install_engine
    # The package may have started it already.
    engine_answers || start_engine
    wait_for_engine
    say "engine $(engine_version) started in ${SECONDS} s"
}

main "$@"
