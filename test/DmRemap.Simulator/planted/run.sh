#!/usr/bin/env bash
# The simulator is tested too: each patch in this folder puts a known bug into a copy of the tree, and the
# simulator must find it within the number of seeds that the patch states. A patch that no longer applies, or
# whose copy does not build, is a failure. `sim.sh --planted` calls this.
#   run.sh --planted [NAME]...     these, or all
#   run.sh --planted-some N        N of them, others each day, of those that need no more than 6,000 seeds
# Prints one line for each on stdout: `found NAME: ...` or `MISSED NAME: ...`.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
root=$(dirname "$(dirname "$(dirname "$here")")")
# shellcheck source=build/setup.sh
. "$root/build/setup.sh"
require_dotnet_sdk
ensure_packages git=git

# Fixed, so that a bug is found by the same seed every time. A patch whose bug few seeds show names another.
first_seed=1
projects=(DmRemap.Core DmRemap.Engine DmRemap.Simulator)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree="$work/tree"
missed=0

# What these three projects are built from, and the restored packages of theirs.
copy_tree() {
    mkdir -p "$tree/src" "$tree/test" "$tree/artifacts/obj"
    cp -r "$root/src/DmRemap.Core" "$root/src/DmRemap.Engine" "$tree/src"
    cp -r "$root/test/DmRemap.Simulator" "$tree/test"
    cp -r "$root/build" "$tree"
    cp "$root"/Directory.* "$root/global.json" "$root/.editorconfig" "$root/.globalconfig" "$tree"
    local project
    for project in "${projects[@]}"; do
        mkdir -p "$tree/artifacts/obj/$project"
        cp "$root/artifacts/obj/$project"/project.assets.json "$root/artifacts/obj/$project"/*.nuget.* \
            "$tree/artifacts/obj/$project"
    done
}

# Analyzers have nothing to say of a planted bug.
build_copy() {
    dotnet build "$tree/test/DmRemap.Simulator" -c Release --no-restore --nologo -v quiet \
        -p:RunAnalyzers=false -p:EnforceCodeStyleInBuild=false -p:TreatWarningsAsErrors=false \
        >"$work/build.log" 2>&1
}

apply() { (cd "$tree" && git apply "$@" 2>"$work/apply.log"); }

miss() {
    printf 'MISSED %s: %s\n' "$1" "$2"
    missed=$((missed + 1))
}

# The number behind `Seeds:` in the patch's head.
seeds_of() { sed -n 's/^# Seeds: *\([0-9]*\).*/\1/p' "$1" | head -n 1; }

# The first of them, in hexadecimal digits, behind `From:`; none: the one that all begin with.
from_of() {
    local from
    from=$(sed -n 's/^# From: *\([0-9a-f]*\).*/\1/p' "$1" | head -n 1)
    printf '%s\n' "${from:-$first_seed}"
}

try_one() {
    local name=$1 patch="$here/$1.patch" seeds
    seeds=$(seeds_of "$patch")
    if [ -z "$seeds" ]; then
        miss "$name" "the patch does not say within how many seeds"
        return
    fi
    if ! apply "$patch"; then
        miss "$name" "the patch does not apply: $(head -n 1 "$work/apply.log")"
        return
    fi
    if ! build_copy; then
        miss "$name" "the copy does not build: $(grep -m 1 'error' "$work/build.log" || true)"
    elif "$tree/artifacts/bin/DmRemap.Simulator/release/DmRemap.Simulator" \
        --from "$(from_of "$patch")" --seeds "$seeds" --first >"$work/sum" 2>"$work/out"; then
        miss "$name" "not found within $seeds seeds"
    elif ! grep -q VIOLATION "$work/out"; then
        miss "$name" "the simulator ended without an answer: $(tail -n 1 "$work/out")"
    else
        printf 'found %s: after %s of %s seeds, by %s: %s\n' "$name" "$(cut -d' ' -f1 "$work/sum")" "$seeds" \
            "$(grep -m 1 -o 'seed [0-9a-f]*$' "$work/out")" \
            "$(grep -m 1 VIOLATION "$work/out" | cut -c11-110)"
    fi
    apply -R "$patch"
}

all_names() { find "$here" -name '*.patch' -printf '%f\n' | sed 's/\.patch$//' | sort; }

mode=$1
shift
mapfile -t names < <(all_names)
if [ "$mode" = --planted-some ]; then
    # One that needs more takes a quarter of an hour by itself.
    quick=()
    for name in "${names[@]}"; do
        [ "$(seeds_of "$here/$name.patch")" -gt 6000 ] || quick+=("$name")
    done
    names=("${quick[@]}")
    some=()
    day=$((10#$(date +%j)))
    for ((i = 0; i < $1 && i < ${#names[@]}; i++)); do
        some+=("${names[$(((day * $1 + i) % ${#names[@]}))]}")
    done
    names=("${some[@]}")
elif [ $# -gt 0 ]; then
    names=("$@")
fi

copy_tree
for name in "${names[@]}"; do
    if [ ! -e "$here/$name.patch" ]; then
        miss "$name" "there is no such patch"
    else
        try_one "$name"
    fi
done
[ "$missed" = 0 ]
