#!/usr/bin/env bash
# The two commands of the README on a machine that has nothing: a minimal Debian root, made here, with only
# the SDK bound in. The checkout is copied, so that nothing built outside is used. Takes several minutes; run
# by `./test.sh --long`.
set -euo pipefail
# shellcheck source=test/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

if [ "$(id -u)" != 0 ]; then
    skipped "bare root: needs root, to bind the SDK into it"
    finish
    exit
fi
if ! command -v mmdebstrap >/dev/null 2>&1; then
    skipped "bare root: mmdebstrap is not installed (apt-get install mmdebstrap)"
    finish
    exit
fi

work=$(mktemp -d)
bare="$work/root"
release=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-stable}")
sdk=$(dirname "$(readlink -f "$(command -v dotnet)")")
packages=${NUGET_PACKAGES:-$HOME/.nuget/packages}

clean_up() {
    local place
    for place in /opt/dotnet /opt/nuget /proc /sys /dev; do
        if mountpoint -q "$bare$place"; then
            umount -R "$bare$place" || umount -l "$bare$place"
        fi
    done
    # --one-file-system: should an unmount have failed, nothing outside may be deleted.
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT

# libicu is not needed (invariant globalisation); these two are what the SDK's own native parts link against.
mmdebstrap --variant=minbase --include=ca-certificates,libstdc++6,zlib1g,libssl3 "$release" "$bare" >&2
mkdir -p "$bare/opt/dotnet" "$bare/opt/nuget" "$bare/opt/home/.nuget/NuGet" "$bare/src"
# As on every machine that has booted.
ln -sf ../proc/self/mounts "$bare/etc/mtab"
mount --bind -o ro "$sdk" "$bare/opt/dotnet"
mount -t proc proc "$bare/proc"
mount --rbind /sys "$bare/sys"
mount --make-rslave "$bare/sys"
mount --rbind /dev "$bare/dev"
mount --make-rslave "$bare/dev"
cp /etc/resolv.conf "$bare/etc/resolv.conf"
for file in /etc/apt/apt.conf.d/*proxy* /etc/apt/sources.list; do
    [ ! -e "$file" ] || cp "$file" "$bare$(dirname "$file")/"
done
# Whom this machine trusts, the bare one trusts: a registry may be reached through a proxy with its own
# authority.
rm -rf "$bare/etc/ssl/certs"
cp -rL /etc/ssl/certs "$bare/etc/ssl/certs"
if [ -e "$HOME/.nuget/NuGet/NuGet.Config" ]; then
    cp "$HOME/.nuget/NuGet/NuGet.Config" "$bare/opt/home/.nuget/NuGet/"
fi
# Packages already fetched are used where there are some: the point is the machine, not the network.
if [ -d "$packages" ]; then
    cp -r "$packages/." "$bare/opt/nuget/"
fi
tar -C "$root" --exclude=./artifacts --exclude=./.git -cf - . | tar -C "$bare/src" -xf -

in_bare() {
    # No build servers: they would outlive the commands and keep the mounts busy.
    env -i PATH=/opt/dotnet:/usr/sbin:/usr/bin:/sbin:/bin HOME=/opt/home NUGET_PACKAGES=/opt/nuget \
        MSBUILDDISABLENODEREUSE=1 UseSharedCompilation=false \
        ${HTTP_PROXY:+HTTP_PROXY="$HTTP_PROXY"} ${HTTPS_PROXY:+HTTPS_PROXY="$HTTPS_PROXY"} \
        chroot "$bare" bash -c "cd /src && $1" >&2
}

check "bare root: ./demo.sh passes" in_bare ./demo.sh
check "bare root: ./test.sh passes" in_bare ./test.sh
finish
