#!/usr/bin/env bash
# The main job in under a minute: a disk image with bad sectors is served to real clients, killed, put
# together again, and every byte is compared. Sets itself up on a fresh Debian or Ubuntu machine.
set -euo pipefail

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=build/setup.sh
. "$root/build/setup.sh"

require_dotnet_sdk
ensure_packages "${demo_packages[@]}"
exec "$root/dmremap" demo "$@"
