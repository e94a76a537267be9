# Sourced by bench.sh: what metadata costs, each figure beside its goal, as one Markdown table.
# shellcheck shell=bash

place=${place:-${TMPDIR:-/tmp}}

require_dotnet_sdk
ensure_packages nbdkit=nbdkit nbdinfo=libnbd-bin fio=fio
for tool in nbdkit nbdinfo fio; do
    has_tool "$tool" || { say "bench.sh needs $tool"; exit 9; }
done
"$root/dmremap" --version >/dev/null
dotnet build "$root/test/DmRemap.Benchmarks" -c Release --nologo -v q >&2
benchmarks="$root/artifacts/bin/DmRemap.Benchmarks/release/DmRemap.Benchmarks.dll"

work=$(mktemp -d -p "$place")
table_work=$(mktemp -d -p "${table_place:-$place}")
others=()
clean_up() {
    local one
    for one in "${others[@]}"; do
        kill -CONT "$one" 2>/dev/null || true
        kill -KILL "$one" 2>/dev/null || true
    done
    rm -rf "$work" "$table_work"
}
trap clean_up EXIT

export DMREMAP_CONFIG_DIR="$work/config" DMREMAP_RUN_DIR="$work/run"
mkdir -m 0700 "$DMREMAP_CONFIG_DIR" "$DMREMAP_RUN_DIR"
uri="nbd+unix:///?socket=$work/run/bench.nbd"
main_mib=128
# The first half takes no write, and says that it is the medium.
printf '0-%s write errno=ENODATA\n' $((main_mib * 1024 - 1)) >"$work/bad"
: >"$work/good"
dd if=/dev/zero of="$work/main" bs=1M count=$main_mib status=none conv=fsync

row() { printf '| %s | %s | %s |\n' "$1" "$2" "$3" >>"$work/table"; }
median() { sort -n | awk '{ v[NR] = $0 } END { print v[int((NR + 1) / 2)] }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.1f", a / b; else printf "-" }'; }

# new_device SPARE: a device over the same main image.
new_device() {
    "$root/dmremap" delete bench --yes >/dev/null 2>&1 || true
    rm -f "$work"/run/*
    "$root/dmremap" create bench --main "$work/main" --spare "$1" --yes --force >&2
}

# ready_ms: milliseconds from the start of the program to the line that says that it serves.
ready_ms() {
    local began
    began=$(date +%s%N)
    serve "$work/good"
    echo $((($(date +%s%N) - began) / 1000000))
}

# resident_mb: memory of the server that is served, without the pool of 16 MiB, whose pages are all touched.
resident_mb() {
    awk '/^VmRSS:/ { all = $2 } /^RssFile:/ { file = $2 }
        END { printf "%.1f, %.1f of it the program\n", (all - 16384) * 1.024 / 1000, file * 1.024 / 1000 }' \
        "/proc/$server/status"
}

# load_and_stop FILE: a stop under load, its milliseconds added to the file.
load_and_stop() {
    fio --name=load --ioengine=nbd --uri="$uri" --rw=randrw --bs=4k --iodepth=32 --size=64m --time_based \
        --runtime=60 >/dev/null 2>&1 &
    load=$!
    others+=("$load")
    sleep 2
    stop_ms 5 >>"$1"
    wait "$load" 2>/dev/null || true
}

stop_row() { row "$1, ms: median of 9" "30" "$(median <"$2") ($(sort -n "$2" | tail -n 1) at most)"; }

# serve FAULTS
serve() {
    "$root/dmremap" serve bench --faults "$1" >"$work/serve.out" 2>&1 &
    server=$!
    others+=("$server")
    local tries
    for tries in $(seq 1 3000); do
        if grep -q '^ready' "$work/serve.out"; then
            return 0
        fi
        sleep 0.01
    done
    say "not ready after $tries tries"
    cat "$work/serve.out" >&2
    exit 1
}

# stop_ms SECONDS: what a stop with this deadline takes.
stop_ms() {
    dotnet "$benchmarks" stop "$work/run/bench.sock" "$1"
    wait "$server" 2>/dev/null || true
}

# remaps_per_second DEPTH OFFSET_MIB SIZE_MIB: each unit of a bad region written once.
remaps_per_second() {
    fio --name=bad --ioengine=nbd --uri="$uri" --rw=write --bs=4k --iodepth="$1" --offset="$2m" \
        --size="$3m" --minimal --terse-version=3 2>>"$work/fio.log" | tail -n 1 | cut -d';' -f49
}

# measure_remaps SPARE: prints one at a time, then with 64 in flight.
measure_remaps() {
    new_device "$1"
    serve "$work/bad"
    local one many
    one=$(remaps_per_second 1 0 4)
    many=$(remaps_per_second 64 4 60)
    stop_ms 10 >/dev/null
    printf '%s %s\n' "$one" "$many"
}

start_nbdkit() {
    rm -f "$work/spare.sock"
    nbdkit -f -t 64 -U "$work/spare.sock" "$@" 2>>"$work/nbdkit.log" &
    kit=$!
    others+=("$kit")
    local tries
    for tries in $(seq 1 100); do
        [ -S "$work/spare.sock" ] && return 0
        sleep 0.1
    done
    say "nbdkit did not start after $tries tries"
    exit 1
}

new_spare() { rm -f "$work/spare"; dd if=/dev/zero of="$work/spare" bs=1M count=160 status=none conv=fsync; }

row "200,000 remaps in a burst, in memory: garbage collections" "0" "$(dotnet "$benchmarks" inserts)"
say "1 of 5: remaps, on a spare whose writes take 2 ms"
new_spare
start_nbdkit --filter=delay file "$work/spare" wdelay=2ms
read -r one many < <(measure_remaps "nbd+unix:///?socket=$work/spare.sock")
kill "$kit"
row "spare with writes of 2 ms: remaps a second, one at a time" "-" "$one"
row "the same: with 64 in flight" "-" "$many"
row "the same: ratio" "20" "$(ratio "$many" "$one")"
row "the same: time of a remap one at a time, in writes of 2 ms" "3" "$(ratio 500 "$one")"

new_spare
read -r one many < <(measure_remaps "$work/spare")
row "spare file on $(stat -f -c %T "$work"): remaps a second, one at a time" "reported" "$one"
row "the same: with 64 in flight" "reported" "$many"

say "2 of 5: stop under load"
for _ in 1 2 3 4 5 6 7 8 9; do
    serve "$work/good"
    load_and_stop "$work/stops"
done
stop_row "stop under full fio load" "$work/stops"

say "3 of 5: stop with a spare that never answers"
new_spare
start_nbdkit file "$work/spare"
new_device "nbd+unix:///?socket=$work/spare.sock"
for _ in 1 2 3 4 5; do
    serve "$work/bad"
    kill -STOP "$kit"
    # It fails on the main device and hangs on the spare.
    fio --name=stuck --ioengine=nbd --uri="$uri" --rw=randwrite --bs=4k --iodepth=8 --size=1m \
        >/dev/null 2>&1 &
    load=$!
    others+=("$load")
    sleep 2
    dotnet "$benchmarks" stop "$work/run/bench.sock" 1 >>"$work/stuck"
    kill -CONT "$kit"
    wait "$server" 2>/dev/null || true
    wait "$load" 2>/dev/null || true
done
kill "$kit"
row "stop with a spare that never answers, deadline 1,000 ms: ms after it, most of 5" "50" \
    "$(sort -n "$work/stuck" | tail -n 1 | awk '{ printf "%.1f", $1 - 1000 }')"

say "4 of 5: the whole program, with a table of 1,000,000"
truncate -s 1T "$table_work/main"
dd if=/dev/zero of="$table_work/spare" bs=1M count=5400 status=none conv=fsync
"$root/dmremap" delete bench --yes >/dev/null 2>&1 || true
"$root/dmremap" create bench --main "$table_work/main" --spare "$table_work/spare" --yes --force >&2
for table in none 1000000; do
    if [ "$table" != none ]; then
        dotnet "$benchmarks" fill "$table_work/spare" "$table"
    fi
    for _ in 1 2 3 4 5 6 7 8 9; do
        : >"$work/serve.out"
        ready_ms >>"$work/ready-$table"
        resident_mb >>"$work/resident-$table"
        load_and_stop "$work/stops-$table"
    done
done
row "from the start of the program to ready, no remaps, ms: median of 9" "-" "$(median <"$work/ready-none")"
row "the same with 1,000,000 remaps" "-" "$(median <"$work/ready-1000000")"
row "idle, no remaps: memory without the pool, MB: median of 9" "40" "$(median <"$work/resident-none")"
stop_row "stop under full fio load with 1,000,000 remaps" "$work/stops-1000000"
rm -f "$table_work/main" "$table_work/spare"

say "5 of 5: tables"
dotnet "$benchmarks" metadata "$table_work" 1000 1000000 >"$work/tables"
# | remaps | mode | open | checkpoint | longest turn | stop | bytes a remap |
while IFS='|' read -r _ remaps mode open checkpoint turn stop bytes _; do
    # shellcheck disable=SC2086 # Spaces go.
    set -- $remaps $mode
    case $1 in
    1,000) open_goal=- bytes_goal=200 ;;
    1,000,000) open_goal=0.3 bytes_goal=24 ;;
    *) continue ;;
    esac
    row "$1 remaps (${*:2}): from opening the spare to ready, s" $open_goal "${open// /}"
    row "$1 remaps: memory, bytes each" $bytes_goal "${bytes// /}"
    row "$1 remaps: a checkpoint, s" "-" "${checkpoint// /}"
    row "$1 remaps: longest turn of the loop while it is made, ms" "1" "${turn// /}"
    row "$1 remaps: stop of the metadata alone, ms" "30" "${stop// /}"
done <"$work/tables"

printf '%s, %s processors, load average %s\n\n' "$(uname -sr)" "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)"
printf '| measure | goal | measured |\n|---|--:|--:|\n'
cat "$work/table"
