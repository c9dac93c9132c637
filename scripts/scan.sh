#!/usr/bin/env bash
# Looks for known vulnerabilities in the worker image's bill of materials, with whatever scanner is here: grype, trivy or
# osv-scanner. A scanner without its database has checked nothing, and this says so: it is never a pass.
#
#   scripts/scan.sh [SBOM]     SBOM: build/sbom/squire-worker.cdx.json, which scripts/images.sh worker writes
#
# Exit 0: scanned, nothing of SQUIRE_SCAN_SEVERITY (high) or above. 1: something was found. 4: nothing was scanned, since
# there is no scanner, or its database cannot be reached. SQUIRE_SCAN_TIMEOUT_S (600) bounds it.
set -euo pipefail
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

sbom="${1:-$root/build/sbom/squire-worker.cdx.json}"
severity="${SQUIRE_SCAN_SEVERITY:-high}"
limit="${SQUIRE_SCAN_TIMEOUT_S:-600}"
case "$severity" in low | medium | high | critical) ;; *) die 2 "SQUIRE_SCAN_SEVERITY is low, medium, high or critical" ;; esac
[ -s "$sbom" ] || die 1 "there is no bill of materials at $sbom" "scripts/images.sh worker"
log="$(mktemp)"
trap 'rm -f -- "$log"' EXIT

not_scanned() {
    tail -n 5 "$log" >&2
    die 4 "nothing was scanned: $1" "run this where the scanner's database can be reached, or has been copied"
}

# The levels from $1 up, as trivy wants them.
levels() {
    case "$1" in
        low) echo LOW,MEDIUM,HIGH,CRITICAL ;; medium) echo MEDIUM,HIGH,CRITICAL ;;
        high) echo HIGH,CRITICAL ;; critical) echo CRITICAL ;;
    esac
}

status=0
if command -v grype >/dev/null 2>&1; then
    timeout "$limit" grype db update >"$log" 2>&1 || timeout 60 grype db status >"$log" 2>&1 ||
        not_scanned "grype has no database and cannot fetch one"
    timeout "$limit" grype --quiet --fail-on "$severity" "sbom:$sbom" || status=$?
    # 2: a finding at or above the level; 1 is grype's own failure.
    if [ "$status" = 1 ] || [ "$status" -gt 2 ]; then not_scanned "grype failed with $status"; fi
elif command -v trivy >/dev/null 2>&1; then
    timeout "$limit" trivy sbom --download-db-only "$sbom" >"$log" 2>&1 || timeout "$limit" trivy image --download-db-only >"$log" 2>&1 ||
        not_scanned "trivy cannot fetch its database"
    timeout "$limit" trivy sbom --quiet --skip-db-update --exit-code 2 --severity "$(levels "$severity")" "$sbom" || status=$?
    if [ "$status" = 1 ] || [ "$status" -gt 2 ]; then not_scanned "trivy failed with $status"; fi
elif command -v osv-scanner >/dev/null 2>&1; then
    timeout "$limit" osv-scanner scan source --sbom "$sbom" >"$log" 2>&1 || status=$?
    # 1: findings of any level; 127 and 128: it could not ask, or found nothing to ask about.
    if [ "$status" -gt 1 ]; then not_scanned "osv-scanner failed with $status"; fi
    cat "$log"
else
    die 4 "nothing was scanned: there is no grype, trivy or osv-scanner on PATH" "install one of them where its database can be reached"
fi
if [ "$status" -ne 0 ]; then
    say "known vulnerabilities of level $severity or above"
    exit 1
fi
say "scanned: nothing of level $severity or above is known"
