#!/usr/bin/env bash
# Attach and detach, a thousand times (--long): no loop device, mount or socket is left.
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

cycles=${DMREMAP_ATTACH_CYCLES:-1000}
program="$root/artifacts/publish/DmRemap.Cli/release/dmremap"
work=$(mktemp -d)
clean_up() {
    "$program" detach cycles >/dev/null 2>&1 || true
    "$program" stop cycles >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean_up EXIT
export DMREMAP_CONFIG_DIR="$work/config" DMREMAP_RUN_DIR="$work/run"
mkdir -m 0700 "$work/config" "$work/run"

if [ "$(id -u)" != 0 ] || [ ! -e /dev/fuse ] || [ ! -e /dev/loop-control ]; then
    skipped "attach cycles: needs root, /dev/fuse and /dev/loop-control"
    finish
    exit
fi

# Whatever of the machine an attach makes, in one line.
left() {
    printf '%s loops, %s mounts, %s files' "$(losetup -a | grep -c "$work" || true)" \
        "$(grep -c "$work" /proc/self/mounts || true)" "$(find "$work/run" -mindepth 1 | wc -l)"
}

all_cycles_end_well() {
    local cycle device
    truncate -s 16M "$work/main"
    "$program" create cycles --main "$work/main" --spare "$work/spare" --spare-size 32M --yes >/dev/null
    for ((cycle = 1; cycle <= cycles; cycle++)); do
        device=$("$program" attach cycles) || return 1
        dd if="$device" of=/dev/null bs=4k count=1 iflag=direct status=none || return 1
        "$program" detach cycles >/dev/null || return 1
        # A lock and a log of the device stay, from the first time on.
        [ "$cycle" -gt 1 ] || before=$(left)
    done
    after=$(left)
}
nothing_is_left() {
    [ "$before" = "$after" ] || { printf '%s, then %s\n' "$before" "$after" >&2; return 1; }
}

before=
after=unknown
check "$cycles times attached, read and detached" all_cycles_end_well
check "nothing is left of it" nothing_is_left
finish
