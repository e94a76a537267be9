# Sourced by bench.sh: what rescuing, probing and scrubbing save in a year of failing disks, as tables
# (Markdown) and a picture. In simulated time, so that the load of this machine changes nothing but how long
# it takes.
# shellcheck shell=bash

require_dotnet_sdk
dotnet build "$root/test/DmRemap.Benchmarks" -c Release --nologo -v quiet >&2
dotnet "$root/artifacts/bin/DmRemap.Benchmarks/release/DmRemap.Benchmarks.dll" year \
    "${svg[0]:-$root/docs/fault-year.svg}" "${disks:-60}"
