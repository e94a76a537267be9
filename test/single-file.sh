#!/usr/bin/env bash
# The program as one file (release.sh): small enough, linked without harm, does its job, and stops each time.
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

bytes_max=45000000
rounds=20
if [ "${DMREMAP_LONG:-0}" = 1 ]; then
    rounds=200
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program="$work/release/dmremap"
build="$root/artifacts/single-file.build"
export DMREMAP_CONFIG_DIR="$work/config" DMREMAP_RUN_DIR="$work/run"
mkdir -m 0700 "$work/config" "$work/run" "$work/empty"

is_small() { [ "$(stat -c %s "$program")" -lt "$bytes_max" ] || { stat -c %s "$program" >&2; return 1; }; }
# No runtime is found by accident: nothing of the environment but these.
runs_alone() { env -i HOME="$work/empty" "$program" --version | grep -q '^dmremap [0-9]'; }
is_one_file() { [ "$(ls -A "$work/release")" = dmremap ] || { ls -la "$work/release" >&2; return 1; }; }
keeps_own_code() {
    local assembly
    for assembly in Cli Control Core Devices Engine FrontEnds Fuse Linux Nbd; do
        local given="$build/bin/DmRemap.$assembly/release/DmRemap.$assembly.dll"
        local linked="$build/obj/DmRemap.Cli/release/linked/DmRemap.$assembly.dll"
        if [ "$assembly" = Cli ]; then
            given="$build/obj/DmRemap.Cli/release/dmremap.dll"
            linked="$build/obj/DmRemap.Cli/release/linked/dmremap.dll"
        fi
        cmp "$given" "$linked" >&2 || return 1
    done
}
does_the_demo() { TMPDIR="$work" "$program" demo >"$work/out" 2>&1 || { cat "$work/out" >&2; return 1; }; }
stops_each_time() {
    local round tries
    truncate -s 16M "$work/main"
    "$program" create one --main "$work/main" --spare "$work/spare" --spare-size 32M --yes >/dev/null
    for ((round = 1; round <= rounds; round++)); do
        # Now, and not by the process beside: what the round before said would be taken for its answer.
        : >"$work/log"
        "$program" serve one --socket "$work/s" >"$work/log" 2>&1 &
        local server=$!
        # Not status, nor stop: both are content with a device that is not served yet.
        for ((tries = 0; tries < 600; tries++)); do
            grep -q '^ready ' "$work/log" && break
            kill -0 "$server" || { cat "$work/log" >&2; return 1; }
            sleep 0.05
        done
        timeout 20 "$program" stop one >/dev/null || { kill -KILL "$server"; return 1; }
        for ((tries = 0; tries < 400; tries++)); do
            kill -0 "$server" 2>/dev/null || break
            sleep 0.05
        done
        [ "$tries" -lt 400 ] || { kill -KILL "$server"; return 1; }
        wait "$server" || return 1
    done
}

built() { "$root/release.sh" "$work/release" >"$work/built" 2>&1 || { cat "$work/built" >&2; return 1; }; }
check "it is built without a warning" built
says_what_it_does() { grep -q 'about two minutes' "$work/built"; }
check "it says how long that takes" says_what_it_does
check "it is one file" is_one_file
check "it has less than $bytes_max bytes" is_small
check "it runs where there is no runtime" runs_alone
check "the linker has changed nothing of its own code" keeps_own_code
check "it passes the demonstration" does_the_demo
check "it stops in each of $rounds rounds" stops_each_time
finish
