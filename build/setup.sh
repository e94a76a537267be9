# Sourced by the scripts at the root: says what is missing on this machine, and installs it when it may.
# Everything here writes to stderr only, so that a program's stdout stays its own.

say() { printf '%s\n' "$*" >&2; }

# Finds the .NET SDK that global.json asks for; ends the script with 9 and a way out if there is none.
require_dotnet() {
    if ! command -v dotnet >/dev/null 2>&1 && [ -x "$HOME/.dotnet/dotnet" ]; then
        PATH="$HOME/.dotnet:$PATH"
    fi
    if ! command -v dotnet >/dev/null 2>&1; then
        say "dm-remap needs the .NET 10 SDK, and there is no \`dotnet\` on this machine."
        say_how_to_get_dotnet
        exit 9
    fi
    # Built programs look for the runtime here; a package installs it where they look, a home directory is not
    # there.
    if [ -z "${DOTNET_ROOT:-}" ]; then
        DOTNET_ROOT=$(dirname "$(readlink -f "$(command -v dotnet)")")
    fi
    export PATH DOTNET_ROOT DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
}

# The same, and the SDK must be of version 10: checked only where something is about to be built.
require_dotnet_sdk() {
    require_dotnet
    # The SDK wants ICU, our programs do not; a minimal machine has none.
    if ! PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q libicuuc; then
        export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
    fi
    if ! (cd "$root" && dotnet --version >/dev/null 2>&1); then
        say "dm-remap needs the .NET 10 SDK; this machine has:"
        (cd / && dotnet --list-sdks >&2) || true
        say_how_to_get_dotnet
        exit 9
    fi
}

say_how_to_get_dotnet() {
    say "  Ubuntu 24.04 and newer:  sudo apt-get install dotnet-sdk-10.0"
    say "  Debian, older Ubuntu:    https://learn.microsoft.com/dotnet/core/install/linux"
    say "  without root:            curl -fsSL https://dot.net/v1/dotnet-install.sh | bash -s -- -c 10.0"
}

# How to become root without a question: nothing to do, sudo without a password, or not at all.
root_command() {
    if [ "$(id -u)" = 0 ]; then
        printf 'env'
    elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
        printf 'sudo -n env'
    fi
}

# ensure_packages COMMAND=PACKAGE...: installs the Debian packages whose command is not here. What cannot be
# installed is said; the tests that need it are then skipped with that reason, and counted.
ensure_packages() {
    local pair missing=() as_root
    for pair in "$@"; do
        if ! has_tool "${pair%%=*}"; then
            missing+=("${pair#*=}")
        fi
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    as_root=$(root_command)
    if ! command -v apt-get >/dev/null 2>&1; then
        say "not installed, and there is no apt-get here: ${missing[*]}. Tests that need them are skipped."
        return 0
    fi
    if [ -z "$as_root" ]; then
        say "not installed: ${missing[*]}. To install: sudo apt-get install ${missing[*]}"
        say "(not root, and no sudo without a password.) Tests that need them are skipped."
        return 0
    fi
    say "installing: ${missing[*]}"
    # Word splitting wanted: "sudo -n env" is three words.
    # shellcheck disable=SC2086
    if ! $as_root DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 ||
        ! $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            $(known_packages "${missing[@]}") >&2; then
        say "could not install ${missing[*]}: see above. Tests that need them are skipped."
    fi
}

# `nbdfuse|libnbd-bin`: the first of these that this release of the distribution has.
known_packages() {
    local choice package
    for choice in "$@"; do
        for package in ${choice//|/ }; do
            if apt-cache show "$package" >/dev/null 2>&1; then
                printf '%s\n' "$package"
                break
            fi
        done
    done | sort -u
}

# A command on the path or in the places of administrators' commands.
has_tool() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1
}

demo_packages=(nbdcopy=libnbd-bin fio=fio)
test_packages=(
    nbdkit=nbdkit nbdcopy=libnbd-bin nbdinfo=libnbd-bin "nbdfuse=nbdfuse|libnbd-bin" qemu-io=qemu-utils
    qemu-img=qemu-utils nbdsh=python3-libnbd fio=fio mkfs.ext4=e2fsprogs e2fsck=e2fsprogs
    losetup=mount flock=util-linux fusermount3=fuse3 mkfs.xfs=xfsprogs mkfs.btrfs=btrfs-progs
    ddrescue=gddrescue
)
