# Sourced by bench.sh: the attached block device, beside nbdfuse under a loop device on our own server, and a
# loop device on the same file without anything between. The three take turns; a ratio for each round.
# shellcheck shell=bash

seconds=${seconds:-1}
rounds=${rounds:-9}
place=${place:-${TMPDIR:-/tmp}}

require_dotnet_sdk
ensure_packages nbdfuse=libnbd-bin fio=fio losetup=mount
for tool in nbdfuse fio losetup; do
    has_tool "$tool" || { say "bench.sh attach needs $tool"; exit 9; }
done
[ "$(id -u)" = 0 ] || { say "bench.sh attach needs root"; exit 9; }
"$root/dmremap" --version >/dev/null
dmremap="$root/artifacts/publish/DmRemap.Cli/release/dmremap"

work=$(mktemp -d -p "$place")
export DMREMAP_CONFIG_DIR="$work/config" DMREMAP_RUN_DIR="$work/run"
mkdir -m 0700 "$DMREMAP_CONFIG_DIR" "$DMREMAP_RUN_DIR"
loop=
clean_up() {
    if [ -n "$loop" ]; then
        losetup -d "$loop" || true
        loop=
    fi
    if [ -e "$work/fuse" ] && mountpoint -q "$work/fuse"; then
        umount "$work/fuse" || true
    fi
    "$dmremap" detach bench >/dev/null 2>&1 || true
    "$dmremap" stop bench >/dev/null 2>&1 || true
}
trap 'clean_up; rm -rf "$work"' EXIT

dd if=/dev/urandom of="$work/main" bs=1M count=512 status=none conv=fsync
"$dmremap" create bench --main "$work/main" --spare "$work/spare" --spare-size 64M --yes >&2

# measure DEVICE KIND DEPTH: requests a second.
measure() {
    fio --name=load --filename="$1" --ioengine=io_uring --direct=1 --rw="$2" --bs=4k --iodepth="$3" \
        --time_based --runtime="$seconds" --randseed=1 --minimal --terse-version=3 |
        awk -F';' '{ print $8 + $49 }'
}

# measure_all WHO DEVICE
measure_all() {
    local kind depth
    for kind in randread randwrite; do
        for depth in 1 32; do
            measure "$2" "$kind" "$depth" >>"$work/$1-$kind-$depth"
        done
    done
}

# The loop device on the image writes to it between two turns.
serve() {
    rm -f "$work/nbd"
    "$dmremap" serve bench --socket "$work/nbd" --accept-changed-main >"$work/log" 2>&1 &
    until grep -q '^ready' "$work/log"; do
        kill -0 $! || { cat "$work/log" >&2; exit 1; }
        sleep 0.05
    done
}

for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds"
    serve
    device=$("$dmremap" attach bench)
    measure_all attach "$device"
    clean_up
    serve
    touch "$work/fuse"
    nbdfuse "$work/fuse" "nbd+unix:///bench?socket=$work/nbd" >"$work/nbdfuse.log" 2>&1 &
    until mountpoint -q "$work/fuse"; do sleep 0.05; done
    loop=$(losetup --find --show --direct-io=on "$work/fuse")
    measure_all nbdfuse "$loop"
    clean_up
    wait
    loop=$(losetup --find --show --direct-io=on "$work/main")
    measure_all raw "$loop"
    clean_up
done

# compare WHAT BASE GOAL
compare() {
    paste "$work/attach-$1" "$work/$2-$1" | awk '{ print $1 / $2 }' | sort -n |
        awk -v row="$1, $2" -v goal="$3" '
            function at(share,  place, below) {
                place = share * (NR - 1); below = int(place)
                return v[below] + (v[below + 1 < NR ? below + 1 : below] - v[below]) * (place - below)
            }
            { v[NR - 1] = $1 }
            END { printf "| %s | %s | %.2f | %.2f | %.2f |\n", row, goal, at(0.25), at(0.5), at(0.75) }'
}
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print int(v[int((NR + 1) / 2)]) }'; }

printf '%s rounds of %s s; %s, %s processors, load average %s; %s\n\n' "$rounds" "$seconds" "$(uname -sr)" \
    "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)" "$(stat -f -c %T "$work")"
printf '| requests/s, median | attach | nbdfuse + loop | loop on the file |\n|---|--:|--:|--:|\n'
for what in randread-1 randread-32 randwrite-1 randwrite-32; do
    printf '| %s | %s | %s | %s |\n' "$what" "$(median "$work/attach-$what")" \
        "$(median "$work/nbdfuse-$what")" "$(median "$work/raw-$what")"
done
printf '\n| goal: times | wanted | lower quartile | median | upper |\n|---|--:|--:|--:|--:|\n'
for what in randread-1 randread-32 randwrite-1 randwrite-32; do
    compare "$what" nbdfuse "$([ "${what##*-}" = 32 ] && echo 4 || echo -)"
    compare "$what" raw "$([ "${what##*-}" = 32 ] && echo 0.7 || echo -)"
done
