#!/usr/bin/env bash
# Makes dmremap one file with the runtime in it, for machines without .NET.
#   ./release.sh [DIR]      DIR/dmremap; artifacts/single-file unless told
set -euo pipefail

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=build/setup.sh
. "$root/build/setup.sh"

case ${1:-} in
-*) sed -n '2,3p' "$0" >&2; exit 2 ;;
esac
target=${1:-$root/artifacts/single-file}
require_dotnet_sdk
say "Compiling dmremap and the runtime into one file, $target/dmremap: about two minutes, without output..."
mkdir -p "$target"
# Of its own, so that it is not mixed up with what ./dmremap runs; nothing else in DIR is touched.
build="$root/artifacts/single-file.build"
dotnet publish "$root/src/DmRemap.Cli" -p:PublishProfile=SingleFile -o "$build/published" \
    --artifacts-path "$build" --nologo -v q >&2
cp "$build/published/dmremap" "$target/dmremap.new"
mv "$target/dmremap.new" "$target/dmremap"
size=$(stat -c %s "$target/dmremap")
printf '%s  %s.%s MB\n' "$target/dmremap" "$((size / 1000000))" "$((size / 100000 % 10))"
