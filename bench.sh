#!/usr/bin/env bash
# Compares dmremap with nbdkit and qemu-nbd, the servers taking turns (A B C A B C) within one run: requests a
# second, latencies, processor time, and the ratios that are wanted. Prints Markdown.
#   ./bench.sh [--seconds N] [--rounds N] [--in DIR] [--memory] [--svg FILE] [--lookup]
# 2 seconds and 9 rounds unless told. With --in /dev/shm the image lies in memory: then servers are compared,
# and not the disk below them. With --memory each serves memory of its own. --svg draws the ratios.
# With --lookup also the lookup and splitting benchmarks (BenchmarkDotNet; several minutes).
#   ./bench.sh metadata [--in DIR] [--table-in DIR]     the metadata's goals and what is measured (minutes;
#                                                       the table of 10^6 remaps takes 6 GB in --table-in)
#   ./bench.sh tls [--rounds N] [--in DIR]     inside TLS, beside nbdkit's
#   ./bench.sh remaps [--seconds N] [--rounds N] [--in DIR]     the table's cost for reads that do not need it
#                                                       (6 GB in DIR; /dev/shm unless told)
#   ./bench.sh attach [--seconds N] [--rounds N] [--in DIR]     the attached device, beside nbdfuse under a
#                                                       loop device, and one on the same file; as root
set -euo pipefail

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=build/setup.sh
. "$root/build/setup.sh"

if [ "${1:-}" = metadata ]; then
    shift
    # shellcheck source=test/bench-metadata.sh
    . "$root/test/bench-metadata.sh"
    exit
fi
if [ "${1:-}" = tls ]; then
    shift
    # shellcheck source=test/bench-tls.sh
    . "$root/test/bench-tls.sh"
    exit
fi

if [ "${1:-}" = attach ]; then
    shift
    # shellcheck source=test/bench-attach.sh
    . "$root/test/bench-attach.sh"
    exit
fi
if [ "${1:-}" = remaps ]; then
    shift
    # shellcheck source=test/bench-remaps.sh
    . "$root/test/bench-remaps.sh"
    exit
fi

seconds=2
rounds=9
lookup=0
kind=file
svg=()
place=${TMPDIR:-/tmp}
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=${2:?--seconds needs a number}; shift ;;
    --rounds) rounds=${2:?--rounds needs a number}; shift ;;
    --in) place=${2:?--in needs a directory}; shift ;;
    --svg) svg=("${2:?--svg needs a file}"); shift ;;
    --memory) kind=memory ;;
    --lookup) lookup=1 ;;
    *) sed -n '2,15p' "$0" >&2; exit 2 ;;
    esac
    shift
done

require_dotnet_sdk
ensure_packages nbdkit=nbdkit qemu-nbd=qemu-utils fio=fio
for tool in nbdkit qemu-nbd fio; do
    has_tool "$tool" || { say "bench.sh needs $tool"; exit 9; }
done
"$root/dmremap" --version >/dev/null
program="$root/artifacts/publish/DmRemap.Cli/release/dmremap"
dotnet build "$root/test/DmRemap.Benchmarks" -c Release --nologo -v q >&2
benchmarks="$root/artifacts/bin/DmRemap.Benchmarks/release/DmRemap.Benchmarks.dll"
if [ "$lookup" = 1 ]; then
    dotnet "$benchmarks" --filter '*' >&2
fi

work=$(mktemp -d -p "$place")
trap 'rm -rf "$work"' EXIT
export DMREMAP_CONFIG_DIR="$work/config" DMREMAP_RUN_DIR="$work/run"
mkdir -m 0700 "$DMREMAP_CONFIG_DIR" "$DMREMAP_RUN_DIR"

printf '%s rounds of %s s; %s, %s processors, load average %s; %s\n\n' "$rounds" "$seconds" "$(uname -sr)" \
    "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)" "$(stat -f -c %T "$work")"
dotnet "$benchmarks" serving "$program" "$work" "$seconds" "$rounds" "$kind" "${svg[@]}"
