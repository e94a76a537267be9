# Sourced by the test scripts. A script's first argument is its result file: one line for each test, and last
# of all the number of lines, so that a script that died half-way is not mistaken for one that had less to do.

result_file=${1:?usage: SCRIPT RESULT-FILE}
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
script_name=$(basename "$0" .sh)
count=0
failures=0
: >"$result_file"

passed() {
    printf 'passed %s: %s\n' "$script_name" "$1" >>"$result_file"
    printf 'ok      %s\n' "$1" >&2
    count=$((count + 1))
}

failed() {
    printf 'failed %s: %s\n' "$script_name" "$1" >>"$result_file"
    printf 'FAILED  %s\n' "$1" >&2
    count=$((count + 1))
    failures=$((failures + 1))
}

skipped() {
    printf 'skipped %s: %s\n' "$script_name" "$1" >>"$result_file"
    printf 'skipped %s\n' "$1" >&2
    count=$((count + 1))
}

# check SENTENCE COMMAND...: a test that passes when the command does.
check() {
    local sentence=$1
    shift
    if "$@"; then
        passed "$sentence"
    else
        failed "$sentence"
    fi
}

finish() {
    printf 'done %s\n' "$count" >>"$result_file"
    [ "$failures" = 0 ]
}
