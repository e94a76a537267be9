#!/usr/bin/env bash
# Compares dmremap with nbdkit's file plugin and with qemu-nbd, over the same image file on the same machine,
# the servers taking turns (A B C A B C) within one run. Prints a Markdown table; docs/performance.md is
# filled by hand.
#   ./bench.sh [--seconds N] [--rounds N] [--in DIR] [--lookup]     N: 3 seconds and 2 rounds unless told
# With --in /dev/shm the images lie in memory: then the servers are compared, and not the disk below them.
# With --lookup also the lookup and splitting benchmarks (BenchmarkDotNet; several minutes).
#   ./bench.sh metadata [--in DIR] [--table-in DIR]     the metadata's goals and what is measured (minutes;
#                                                       the table of 10^6 remaps takes 6 GB in --table-in)
#   ./bench.sh tls [--rounds N] [--in DIR]     inside TLS, beside nbdkit's
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

seconds=3
rounds=2
lookup=0
place=${TMPDIR:-/tmp}
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=${2:?--seconds needs a number}; shift ;;
    --rounds) rounds=${2:?--rounds needs a number}; shift ;;
    --in) place=${2:?--in needs a directory}; shift ;;
    --lookup) lookup=1 ;;
    *) sed -n '2,10p' "$0" >&2; exit 2 ;;
    esac
    shift
done

require_dotnet_sdk
ensure_packages nbdkit=nbdkit nbdinfo=libnbd-bin qemu-nbd=qemu-utils fio=fio
for tool in nbdkit nbdinfo qemu-nbd fio; do
    has_tool "$tool" || { say "bench.sh needs $tool"; exit 9; }
done
"$root/dmremap" --version >/dev/null
if [ "$lookup" = 1 ]; then
    dotnet run --project "$root/test/DmRemap.Benchmarks" -c Release -- --filter '*' >&2
fi

work=$(mktemp -d -p "$place")
cache=none
below="nbdkit goes through the page cache, dmremap and qemu-nbd do not (O_DIRECT)."
if [ "$(stat -f -c %T "$work")" = tmpfs ]; then
    cache=writeback
    below="The images lie in memory (tmpfs): all three go through the page cache,"
    below="$below dmremap in its rehearsal mode."
fi
server=
stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
}
clean_up() {
    stop_server
    rm -rf "$work"
}
trap clean_up EXIT

export DMREMAP_CONFIG_DIR="$work/config" DMREMAP_RUN_DIR="$work/run"
mkdir -m 0700 "$DMREMAP_CONFIG_DIR" "$DMREMAP_RUN_DIR"
# Written in full: the first write into a hole would measure the file system.
dd if=/dev/urandom of="$work/main" bs=1M count=512 status=none
dd if=/dev/zero of="$work/spare" bs=1M count=64 status=none
"$root/dmremap" create bench --main "$work/main" --spare "$work/spare" --yes >&2

start_server() {
    case $1 in
    dmremap) "$root/dmremap" serve bench --socket "$work/nbd.sock" >/dev/null & ;;
    nbdkit) nbdkit -f -U "$work/nbd.sock" file "$work/main" & ;;
    qemu-nbd) qemu-nbd -f raw -t -e 8 --cache=$cache --aio=io_uring -k "$work/nbd.sock" "$work/main" & ;;
    esac
    server=$!
    local tries
    for tries in $(seq 1 100); do
        if nbdinfo --size "nbd+unix:///?socket=$work/nbd.sock" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    say "$1 did not start after $tries tries"
    exit 1
}

# NAME RW BLOCKSIZE DEPTH COLUMN; the column of fio's terse output: 8 = read IOPS, 49 = write IOPS.
cases=(
    "randread-4k-1 randread 4k 1 8" "randread-4k-32 randread 4k 32 8"
    "randwrite-4k-1 randwrite 4k 1 49" "randwrite-4k-32 randwrite 4k 32 49"
    "read-128k-8 read 128k 8 8" "write-128k-8 write 128k 8 49"
)

measure() {
    local name rw size depth column
    read -r name rw size depth column <<<"$2"
    fio --name="$name" --ioengine=nbd --uri="nbd+unix:///?socket=$work/nbd.sock" --rw="$rw" --bs="$size" \
        --iodepth="$depth" --time_based --runtime="$seconds" --randseed=1 --minimal --terse-version=3 \
        2>>"$work/fio.log" | tail -n 1 | cut -d';' -f"$column" >>"$work/$1.$name"
}

for round in $(seq 1 "$rounds"); do
    for one in dmremap nbdkit qemu-nbd; do
        say "round $round of $rounds: $one"
        start_server "$one"
        for case in "${cases[@]}"; do
            measure "$one" "$case"
        done
        stop_server
        rm -f "$work/nbd.sock"
    done
done

best() { sort -n "$work/$1.$2" | tail -n 1; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }

printf 'IOPS, best of %s rounds of %s s; %s, %s processors\n\n' "$rounds" "$seconds" "$(uname -sr)" "$(nproc)"
printf '| case | dmremap | nbdkit file | qemu-nbd | dmremap/nbdkit | dmremap/qemu-nbd |\n'
printf '|---|--:|--:|--:|--:|--:|\n'
for case in "${cases[@]}"; do
    name=${case%% *}
    a=$(best dmremap "$name") b=$(best nbdkit "$name") c=$(best qemu-nbd "$name")
    printf '| %s | %s | %s | %s | %s | %s |\n' \
        "$name" "$a" "$b" "$c" "$(ratio "$a" "$b")" "$(ratio "$a" "$c")"
done
printf '\n%s\n' "$below"
