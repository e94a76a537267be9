# Sourced by bench.sh: what the table costs reads that do not need it.
# shellcheck shell=bash

seconds=1
rounds=9
place=/dev/shm
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=${2:?--seconds needs a number}; shift ;;
    --rounds) rounds=${2:?--rounds needs a number}; shift ;;
    --in) place=${2:?--in needs a directory}; shift ;;
    *) sed -n '2,15p' "$0" >&2; exit 2 ;;
    esac
    shift
done

require_dotnet_sdk
"$root/dmremap" --version >/dev/null
dotnet build "$root/test/DmRemap.Benchmarks" -c Release --nologo -v q >&2
work=$(mktemp -d -p "$place")
trap 'rm -rf "$work"' EXIT
export DMREMAP_CONFIG_DIR="$work/config" DMREMAP_RUN_DIR="$work/run"
mkdir -m 0700 "$DMREMAP_CONFIG_DIR" "$DMREMAP_RUN_DIR"

printf '%s rounds of %s s; %s, %s processors, load average %s; %s\n\n' "$rounds" "$seconds" "$(uname -sr)" \
    "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)" "$(stat -f -c %T "$work")"
dotnet "$root/artifacts/bin/DmRemap.Benchmarks/release/DmRemap.Benchmarks.dll" \
    remaps "$root/artifacts/publish/DmRemap.Cli/release/dmremap" "$work" "$seconds" "$rounds"
