#!/usr/bin/env bash
# Builds everything and runs the tests; sets itself up on a fresh Debian or Ubuntu machine.
# The last line, alone, is `N passed, N failed, N skipped`; the exit code is 0 only if nothing failed.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: ./test.sh [--long] [--vm] [--only NAME] [--no-skips]
  (nothing)     everything that fits 20 minutes on two cores
  --long        also the soaks in their long form, a thousand attach cycles, and a bare Debian root
  --vm          also the tests that need a virtual machine
  --only NAME   only the tests and scripts whose full name contains NAME
  --no-skips    a skipped test fails the run
TEXT
}

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=build/setup.sh
. "$root/build/setup.sh"
results="${DMREMAP_TEST_RESULTS:-$root/artifacts/test-results}"
steps=()
totals_options=()
long=0
vm=0
only=

# run_step NAME COMMAND...: runs it and remembers how it ended; the file it must leave is looked at in the
# end.
run_step() {
    local name=$1 code=0
    shift
    say "== $name"
    "$@" || code=$?
    steps+=("$name=$code")
}

# A gate that is a test of its own: passed or failed, with one line of result file.
run_gate() {
    local name=$1 verdict=passed
    shift
    say "== $name"
    if ! "$@"; then
        verdict="failed"
    fi
    if [ "$verdict" = passed ]; then
        printf 'passed %s\ndone 1\n' "$name" >"$results/$name.result"
        steps+=("$name=0")
    else
        printf 'failed %s: see its output above\ndone 1\n' "$name" >"$results/$name.result"
        steps+=("$name=1")
    fi
}

run_assembly() {
    local name=$1 filter=()
    if [ -n "$only" ]; then
        filter=(--filter-method "*$only*")
    fi
    run_step "$name" dotnet test --project "$root/test/$name" -c Release --no-build --no-restore \
        --results-directory "$results" --report-ctrf --report-ctrf-filename "$name.ctrf" \
        --no-progress --no-ansi "${filter[@]}"
}

# A script gets the place of its result file as its first argument, and what DMREMAP_LONG says.
run_script() {
    local name=$1
    if [ -n "$only" ] && [[ $name != *"$only"* ]]; then
        return 0
    fi
    run_step "$name" bash "$root/test/$name.sh" "$results/$name.result"
}

while [ $# -gt 0 ]; do
    case $1 in
    --long) long=1 ;;
    --vm) vm=1 ;;
    --no-skips) totals_options+=(--no-skips) ;;
    --only)
        only=${2:-}
        if [ -z "$only" ]; then
            usage >&2
            exit 2
        fi
        totals_options+=(--filtered)
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

require_dotnet_sdk
ensure_packages "${test_packages[@]}"
if [ "$long" = 1 ]; then
    ensure_packages mmdebstrap=mmdebstrap
fi
export DMREMAP_LONG=$long
# Not inherited by what we start: a run inside a run would count the outer one's files.
unset DMREMAP_TEST_RESULTS
cd "$root"
# Result files of an earlier run must not stand in for this one's.
rm -rf "$results"
mkdir -p "$results"

if ! dotnet restore DmRemap.slnx >&2 || ! dotnet build DmRemap.slnx -c Release --no-restore --nologo >&2; then
    say "the build failed: see above"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
if [ -z "$only" ]; then
    run_gate format dotnet format DmRemap.slnx --verify-no-changes --no-restore
fi
run_assembly DmRemap.Tests
run_assembly DmRemap.Interop.Tests
run_script gates
run_script root-commands
run_script demo
run_script single-file
run_script simulator
if [ "$long" = 1 ]; then
    run_script attach-cycles
    run_script bare
fi
if [ "$vm" = 1 ]; then
    say "no VM tests yet"
fi
# The tables in the documents name tests: were they all there, and did they all run? Only a whole run can
# tell.
documents=()
if [ -z "$only" ]; then
    for document in docs/internals/testing.md docs/nbd-conformance.md; do
        if [ -e "$document" ]; then
            documents+=("$document")
        fi
    done
fi

"$root/artifacts/bin/DmRemap.TestTotals/release/DmRemap.TestTotals" \
    "$results" "${totals_options[@]}" "${documents[@]}" "${steps[@]}"
