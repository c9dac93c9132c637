#!/usr/bin/env bash
# Makes sure that the base image of our Dockerfiles is on the engine: there already, else pulled, else (no registry can
# be reached) made with debootstrap from the Debian mirror that this machine's apt uses. A made one is kept as a tarball
# in the cache, so that the next engine gets it in seconds.
#
#   scripts/base-image.sh [NAME]     NAME: the default of ARG BASE_IMAGE in worker-image/Dockerfile
#
# SQUIRE_PULL_TIMEOUT_S (60): how long a pull may take. Exit 4: no engine, or neither pull nor debootstrap worked.
set -euo pipefail
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

suite=bookworm
ca_bundle=/etc/ssl/certs/ca-certificates.crt
cache="${XDG_CACHE_HOME:-$HOME/.cache}/squire"
pull_timeout_s="${SQUIRE_PULL_TIMEOUT_S:-60}"

base_image_name() { sed -n 's/^ARG BASE_IMAGE=//p' "$root/worker-image/Dockerfile" | head -n 1; }

# One line "SITE RELEASE COMPONENT" for each index of our suite that this machine's apt knows.
apt_sources() {
    # shellcheck disable=SC2016  # apt expands these
    apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk -v s="$suite" '$2 == s || $2 == s "-updates" || $2 == s "-security"' | sort -u
}

# Runs as root. make_tarball TARBALL MIRROR SOURCES_FILE
make_tarball() {
    local tarball="$1" mirror="$2" sources="$3" work
    work="$(mktemp -d "${TMPDIR:-/tmp}/squire-base.XXXXXX")"
    # shellcheck disable=SC2064  # $work is meant to be expanded now
    trap "rm -rf -- '$work'" EXIT
    local rootfs="$work/rootfs"
    quietly "$work/log" timeout 900 debootstrap --variant=minbase "$suite" "$rootfs" "$mirror" || return 1

    awk '{print "deb", $1, $2, $3}' "$sources" >"$rootfs/etc/apt/sources.list"
    # The machine may sit behind a TLS proxy with a CA of its own. The second copy survives the package
    # ca-certificates, which rewrites the bundle from its own list and from /usr/local/share/ca-certificates.
    if [ -r "$ca_bundle" ]; then
        install -D -m 0644 "$ca_bundle" "$rootfs$ca_bundle"
        install -D -m 0644 "$ca_bundle" "$rootfs/usr/local/share/ca-certificates/host.crt"
    fi
    # As the official slim image: no documentation, now or from later installs.
    printf '%s\n' 'path-exclude /usr/share/doc/*' 'path-include /usr/share/doc/*/copyright' \
        'path-exclude /usr/share/man/*' 'path-exclude /usr/share/info/*' 'path-exclude /usr/share/locale/*' \
        'path-include /usr/share/locale/locale.alias' >"$rootfs/etc/dpkg/dpkg.cfg.d/docker"
    # A build must not start services.
    printf '#!/bin/sh\nexit 101\n' >"$rootfs/usr/sbin/policy-rc.d"
    chmod 0755 "$rootfs/usr/sbin/policy-rc.d"
    find "$rootfs/usr/share/doc" -type f ! -name copyright -delete
    rm -rf "$rootfs"/usr/share/man/* "$rootfs"/usr/share/info/* "$rootfs"/usr/share/locale/* \
        "$rootfs"/var/cache/apt/* "$rootfs"/var/lib/apt/lists/* "$rootfs"/var/log/*.log "$rootfs"/var/log/apt/* \
        "$rootfs"/var/cache/debconf/*-old "$rootfs"/etc/hostname "$rootfs"/etc/resolv.conf
    tar --numeric-owner --one-file-system --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' \
        -C "$rootfs" -c . | gzip -1 >"$tarball.part"
    chmod 0644 "$tarball.part"
    mv -f "$tarball.part" "$tarball"
}

bootstrap() {
    local name="$1" tarball sources mirror
    tarball="$cache/base-$suite-$(dpkg --print-architecture 2>/dev/null || uname -m).tar.gz"
    if [ ! -s "$tarball" ]; then
        local no_registry="$name is not on the engine, and pulling it failed"
        command -v apt-get >/dev/null 2>&1 || die 4 "$no_registry" "give this machine a registry, then run this again"
        if ! command -v debootstrap >/dev/null 2>&1 && [ ! -x /usr/sbin/debootstrap ]; then
            can_be_root || die 4 "$no_registry; making it needs debootstrap" "run: sudo apt-get install debootstrap"
            apt_install debootstrap || die 4 "apt-get could not install debootstrap" "see the lines above"
        fi
        can_be_root || die 4 "$no_registry; making it with debootstrap needs root" "run: sudo scripts/base-image.sh"
        mkdir -p "$cache"
        sources="$(mktemp)"
        apt_sources >"$sources"
        mirror="$(awk -v s="$suite" '$2 == s {print $1; exit}' "$sources")"
        if [ -z "$mirror" ]; then
            rm -f "$sources"
            die 4 "$no_registry, and apt on this machine knows no mirror of Debian $suite" \
                "pull or load an image named $name, then run this again"
        fi
        warn "$name cannot be pulled: making it with debootstrap (about half a minute)"
        as_root bash "${BASH_SOURCE[0]}" --make-tarball "$tarball" "$mirror" "$sources" ||
            die 4 "debootstrap failed" "see the lines above"
        rm -f "$sources"
    fi
    timeout 300 "$docker" import \
        --change 'CMD ["bash"]' --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --message "made by scripts/base-image.sh" "$tarball" "$name" >/dev/null ||
        die 1 "the engine did not import $tarball" "remove that file, then run this again"
}

if [ "${1:-}" = --make-tarball ]; then
    make_tarball "$2" "$3" "$4"
    exit
fi

name="${1:-$(base_image_name)}"
[ -n "$name" ] || die 1 "no ARG BASE_IMAGE in worker-image/Dockerfile" "give the image's name as the first argument"
require_engine
docker="$(docker_client)"
if "$docker" image inspect "$name" >/dev/null 2>&1; then
    say "base image $name is there"
elif timeout "$pull_timeout_s" "$docker" pull --quiet "$name" >/dev/null 2>&1; then
    say "base image $name pulled in ${SECONDS} s"
else
    bootstrap "$name"
    say "base image $name made in ${SECONDS} s"
fi
