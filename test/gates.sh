#!/usr/bin/env bash
# Proves that a test run notices what goes wrong, by making it go wrong: a failing test, a skipped one, a
# process that ends before its results are written, an assembly without tests, a script that dies.
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
totals="$root/artifacts/bin/DmRemap.TestTotals/release/DmRemap.TestTotals"

# run_assembly NAME CLASS: one class of the test assembly; prints its exit code.
run_assembly() {
    local code=0
    dotnet test --project "$root/test/DmRemap.Tests" -c Release --no-build --no-restore \
        --results-directory "$work" --report-ctrf --report-ctrf-filename "$1.ctrf" \
        --no-progress --no-ansi --filter-class "$2" \
        >"$work/$1.log" 2>&1 || code=$?
    printf '%s' "$code"
}

# totals_say EXPECTED-CODE EXPECTED-LAST-LINE OPTIONS...
totals_say() {
    local code=0 output
    output=$("$totals" "$work" "${@:3}") || code=$?
    if [ "$code" != "$1" ] || [ "$(tail -n 1 <<<"$output")" != "$2" ]; then
        printf 'exit code %s, expected %s; output:\n%s\n' "$code" "$1" "$output" >&2
        return 1
    fi
}

# runner_says CODE EXPECTED
runner_says() { [ "$1" = "$2" ]; }

deliberate=DmRemap.Tests.Tidy.DeliberateTests
good=$(run_assembly good "$deliberate")
check "a passing assembly is counted" totals_say 0 "2 passed, 0 failed, 0 skipped" "good=$good"

bad=$(DMREMAP_DELIBERATE=fail run_assembly bad "$deliberate")
check "a failing test fails the run" totals_say 1 "3 passed, 1 failed, 0 skipped" "good=$good" "bad=$bad"

skip=$(DMREMAP_DELIBERATE=skip run_assembly skip "$deliberate")
check "a skip is counted and does not fail the run" totals_say 0 "1 passed, 0 failed, 1 skipped" "skip=$skip"
check "a skip fails a run with --no-skips" \
    totals_say 1 "1 passed, 0 failed, 1 skipped" --no-skips "skip=$skip"
check "a skip is printed with its reason" \
    grep -q "skipped: .*: .*on purpose" <<<"$("$totals" "$work" "skip=$skip")"

ended=$(DMREMAP_DELIBERATE="end the process" run_assembly ended "$deliberate")
check "a process that ends before its results are written fails the run" \
    totals_say 1 "2 passed, 1 failed, 0 skipped" "good=$good" "ended=$ended"

empty=$(run_assembly empty DmRemap.Tests.NoSuchClass)
check "the runner ends with 8 when there is no test" runner_says "$empty" 8
check "an assembly without tests fails the run" \
    totals_say 1 "2 passed, 1 failed, 0 skipped" "good=$good" "empty=$empty"
check "an assembly that a filter emptied does not" \
    totals_say 0 "2 passed, 0 failed, 0 skipped" --filtered "good=$good" "empty=$empty"

printf 'passed dies: first\n' >"$work/dies.result"
check "a script that died half-way fails the run" \
    totals_say 1 "2 passed, 1 failed, 0 skipped" "good=$good" "dies=137"

printf '| S1 | a demand | `DeliberateTests.Nothing_goes_wrong_on_purpose_unless_asked` |\n' >"$work/table.md"
check "a table whose tests ran is one more test" \
    totals_say 0 "3 passed, 0 failed, 0 skipped" "$work/table.md" "good=$good"
check "a table whose test was skipped fails the run" \
    totals_say 1 "1 passed, 1 failed, 1 skipped" "$work/table.md" "skip=$skip"

finish
