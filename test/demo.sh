#!/usr/bin/env bash
# The demonstration, as the README shows it: passes, in time, and leaves nothing behind.
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
seconds_max=45

demo_passes() { TMPDIR="$work/tmp" "$root/demo.sh" >"$work/out" 2>&1 || { cat "$work/out" >&2; return 1; }; }
leaves_nothing() { [ -z "$(ls -A "$work/tmp")" ] || { ls -la "$work/tmp" >&2; return 1; }; }
was_in_time() { [ "$elapsed" -le "$seconds_max" ] || { printf '%s s\n' "$elapsed" >&2; return 1; }; }

mkdir "$work/tmp"
# Built beforehand, so that the time is the demonstration's; if that fails, so does the first check.
"$root/dmremap" --version >/dev/null || true
begin=$(date +%s)
check "every byte is right" demo_passes
elapsed=$(($(date +%s) - begin))
check "it takes at most $seconds_max seconds" was_in_time
check "it leaves nothing behind" leaves_nothing
finish
