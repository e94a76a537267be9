#!/usr/bin/env bash
# The simulator: seeds that once found a bug, a fixed range of others, and planted bugs that it must find
# (three of them that need few seeds, others each day; all with --long, and then half an hour of fresh
# seeds, never seen before).
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fresh=(--from 1 --seeds 2000)
planted=(--planted-some 3)
if [ "${DMREMAP_LONG:-0}" = 1 ]; then
    fresh=(--minutes 30)
    planted=(--planted)
fi

regressions_hold() {
    "$root/sim.sh" --twice --regression "$root/test/DmRemap.Simulator/regression-seeds.txt" >/dev/null
}

fresh_seeds_hold() { "$root/sim.sh" "${fresh[@]}" >"$work/fresh" && cat "$work/fresh" >&2; }

last_line_is_the_sum() {
    local number='[0-9]+(\.[0-9]+)?'
    [[ $(tail -n 1 "$work/fresh") =~ ^$number\ seeds,\ $number\ simulated\ hours,\ $number\ crashes,\ \
$number\ recoveries,\ $number\ violations$ ]]
}

# The trace of a seed is one number: twice the same in one process, and in two.
a_seed_is_one_run() {
    "$root/sim.sh" --seed 5eed 2>"$work/one" >/dev/null
    "$root/sim.sh" --seed 5eed 2>"$work/two" >/dev/null
    [ "$(grep '^trace' "$work/one")" = "$(grep '^trace' "$work/two")" ]
}

refuses_unknown_options() {
    local code=0
    "$root/sim.sh" --quickly >/dev/null 2>&1 || code=$?
    [ "$code" = 2 ]
}

check "seeds that once found a bug find none" regressions_hold
check "no seed of the range breaks a promise" fresh_seeds_hold
check "the last line is the sum" last_line_is_the_sum
check "a seed is one run" a_seed_is_one_run
check "it refuses an option that it does not know" refuses_unknown_options

# The simulator is tested itself: a bug that it does not find is a failure.
all_were_tried() {
    { "$root/sim.sh" "${planted[@]}" >"$work/planted" || grep -q ^MISSED "$work/planted"; } \
        && [ -s "$work/planted" ]
}
check "planted bugs were all tried" all_were_tried
while read -r verdict sentence; do
    if [ "$verdict" = found ]; then
        passed "planted ${sentence%%:*} is found"
    else
        failed "planted $sentence"
    fi
done <"$work/planted"
finish
