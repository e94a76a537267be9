# Sourced by bench.sh: requests a second, latencies and processor time beside nbdkit's and qemu-nbd's.
# shellcheck shell=bash

seconds=${seconds:-2}
rounds=${rounds:-9}
place=${place:-${TMPDIR:-/tmp}}

require_dotnet_sdk
ensure_packages nbdkit=nbdkit qemu-nbd=qemu-utils fio=fio
for tool in nbdkit qemu-nbd fio; do
    has_tool "$tool" || { say "bench.sh needs $tool"; exit 9; }
done
"$root/dmremap" --version >/dev/null
program="$root/artifacts/publish/DmRemap.Cli/release/dmremap"
dotnet build "$root/test/DmRemap.Benchmarks" -c Release --nologo -v q >&2
benchmarks="$root/artifacts/bin/DmRemap.Benchmarks/release/DmRemap.Benchmarks.dll"
if [ "$lookup" = 1 ]; then
    dotnet "$benchmarks" --filter '*' --artifacts "$root/artifacts/benchmarks" >&2
fi

work=$(mktemp -d -p "$place")
trap 'rm -rf "$work"' EXIT
export DMREMAP_CONFIG_DIR="$work/config" DMREMAP_RUN_DIR="$work/run"
mkdir -m 0700 "$DMREMAP_CONFIG_DIR" "$DMREMAP_RUN_DIR"

printf '%s rounds of %s s; %s, %s processors, load average %s; %s\n\n' "$rounds" "$seconds" "$(uname -sr)" \
    "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)" "$(stat -f -c %T "$work")"
dotnet "$benchmarks" serving "$program" "$work" "$seconds" "$rounds" "$kind" "${svg[@]}"
