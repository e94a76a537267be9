#!/usr/bin/env bash
# The simulator: whole lives of a device over disks that fail, from one number each. A run that breaks a
# promise prints the one command that repeats it. The last line, alone, is the sum; exit code 1 when a promise
# was broken. More: docs/internals/testing.md.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: ./sim.sh [--minutes N | --seeds N] [--from HEX] [--twice] [--first] [--threads N] [--regression FILE]
       ./sim.sh --seed HEX [--trace]
       ./sim.sh --planted [NAME]... | --planted-some N
  --minutes N   fresh seeds for so long, on all cores (1 unless told)
  --seeds N     so many fresh seeds
  --from HEX    the first of them, instead of a random one
  --seed HEX    this one again; with --trace every event of it is printed
  --also KINDS  faults beyond the budget too (names: World/FaultKinds.cs)
  --planted     put known bugs into a copy of the tree, one after the other: each must be found
TEXT
}

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
program="$root/artifacts/bin/DmRemap.Simulator/release/DmRemap.Simulator"
stamp="$root/artifacts/simulator.built"
# shellcheck source=build/setup.sh
. "$root/build/setup.sh"
# Few collections: a start of a device allocates what it needs for its whole life.
export DOTNET_GCgen0size=0x4000000

is_stale() {
    [ ! -x "$program" ] || [ ! -e "$stamp" ] ||
        [ -n "$(find "$root/src/DmRemap.Core" "$root/src/DmRemap.Engine" "$root/test/DmRemap.Simulator" \
            "$root/build" "$root"/Directory.* "$root/global.json" ! -name packages.lock.json \
            -newer "$stamp" -print -quit)" ]
}

build_simulator() {
    require_dotnet_sdk
    is_stale || return 0
    say "building the simulator ..."
    mkdir -p "$root/artifacts"
    touch "$stamp.new"
    if ! output=$(dotnet build "$root/test/DmRemap.Simulator" -c Release -v quiet --nologo 2>&1); then
        say "$output"
        say "sim.sh: the build failed."
        exit 1
    fi
    mv "$stamp.new" "$stamp"
}

case ${1:-} in
-h | --help)
    usage
    exit 0
    ;;
--planted | --planted-some)
    build_simulator
    exec bash "$root/test/DmRemap.Simulator/planted/run.sh" "$@"
    ;;
esac
build_simulator
code=0
if [ $# = 0 ]; then
    set -- --minutes 1
fi
"$program" "$@" || code=$?
if [ "$code" = 2 ]; then
    usage >&2
fi
exit "$code"
