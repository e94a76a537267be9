#!/usr/bin/env bash
# Compares dmremap with nbdkit and qemu-nbd, the servers taking turns (A B C A B C) within one run: requests a
# second, latencies, processor time, and the ratios that are wanted. Prints Markdown.
#   ./bench.sh [--seconds N] [--rounds N] [--in DIR] [--memory] [--svg FILE] [--lookup]
# 2 seconds and 9 rounds unless told. With --in /dev/shm the image lies in memory: then servers are compared,
# and not the disk below them. With --memory each serves memory of its own. --svg draws the ratios.
# With --lookup also the lookup and splitting benchmarks (BenchmarkDotNet; several minutes).
#   ./bench.sh metadata [--in DIR] [--table-in DIR]     the metadata's goals and what is measured (minutes;
#                                                       the table of 10^6 remaps takes 6 GB in --table-in)
#   ./bench.sh tls [--rounds N] [--in DIR]     inside TLS, beside nbdkit's
#   ./bench.sh remaps [--seconds N] [--rounds N] [--in DIR]     the table's cost for reads (13 GB in DIR;
#                                                       /dev/shm unless told)
#   ./bench.sh attach [--seconds N] [--rounds N] [--in DIR]     the attached device, beside nbdfuse under a
#                                                       loop device, and one on the same file; as root
#   ./bench.sh faults [--svg FILE]     the faults that the lab's models generate beside published ones
#   ./bench.sh year [--disks N] [--svg FILE]     what rescuing, probing and scrubbing save in a year of disks
#                                                       that fail as nearline ones do (minutes)
set -euo pipefail

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=build/setup.sh
. "$root/build/setup.sh"

usage() { sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2; }

what=serving
case ${1:-} in
metadata | tls | remaps | attach | faults | year) what=$1; shift ;;
esac
# What is not given has its default where it is used.
seconds=
rounds=
place=
table_place=
lookup=0
disks=
kind=file
svg=()
while [ $# -gt 0 ]; do
    case $what:$1 in
    serving:--seconds | remaps:--seconds | attach:--seconds) seconds=${2:?--seconds needs a number}; shift ;;
    faults:--svg | year:--svg) svg=("${2:?--svg needs a file}"); shift ;;
    year:--disks) disks=${2:?--disks needs a number}; shift ;;
    metadata:--rounds | faults:* | year:*) usage ;;
    *:--rounds) rounds=${2:?--rounds needs a number}; shift ;;
    *:--in) place=${2:?--in needs a directory}; shift ;;
    metadata:--table-in) table_place=${2:?--table-in needs a directory}; shift ;;
    serving:--svg) svg=("${2:?--svg needs a file}"); shift ;;
    serving:--memory) kind=memory ;;
    serving:--lookup) lookup=1 ;;
    *) usage ;;
    esac
    shift
done
# shellcheck source=/dev/null
. "$root/test/bench-$what.sh"
