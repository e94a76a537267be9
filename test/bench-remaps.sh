# Sourced by bench.sh: what the table costs reads that do not need it.
# shellcheck shell=bash

seconds=${seconds:-1}
rounds=${rounds:-9}
place=${place:-/dev/shm}

require_dotnet_sdk
ensure_packages nbdkit=nbdkit
has_tool nbdkit || { say "bench.sh remaps needs nbdkit"; exit 9; }
"$root/dmremap" --version >/dev/null
dotnet build "$root/test/DmRemap.Benchmarks" -c Release --nologo -v q >&2
work=$(mktemp -d -p "$place")
trap 'rm -rf "$work"' EXIT
export DMREMAP_CONFIG_DIR="$work/config" DMREMAP_RUN_DIR="$work/run"
mkdir -m 0700 "$DMREMAP_CONFIG_DIR" "$DMREMAP_RUN_DIR"

printf '%s rounds of %s s; %s, %s processors, load average %s; %s\n\n' "$rounds" "$seconds" "$(uname -sr)" \
    "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)" "$(stat -f -c %T "$work")"
dotnet "$root/artifacts/bin/DmRemap.Benchmarks/release/DmRemap.Benchmarks.dll" \
    remaps "$root/artifacts/publish/DmRemap.Cli/release/dmremap" "$work" "$seconds" \
    "$rounds"
