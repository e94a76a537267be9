# Sourced by bench.sh: what the lab's models generate beside what is published, as a picture.
# shellcheck shell=bash

require_dotnet_sdk
dotnet build "$root/test/DmRemap.Benchmarks" -c Release --nologo -v quiet >&2
dotnet "$root/artifacts/bin/DmRemap.Benchmarks/release/DmRemap.Benchmarks.dll" faults \
    "${svg[0]:-$root/docs/fault-models.svg}"
