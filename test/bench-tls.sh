# Sourced by bench.sh: NBD inside TLS, ours and nbdkit's, over the same image and with the same certificates,
# taking turns; and ours without TLS, to see what it costs. One Markdown table.
# shellcheck shell=bash

rounds=${rounds:-3}
place=${place:-${TMPDIR:-/tmp}}

require_dotnet_sdk
ensure_packages nbdkit=nbdkit nbdcopy=libnbd-bin openssl=openssl
for tool in nbdkit nbdinfo nbdcopy openssl; do
    has_tool "$tool" || { say "bench.sh needs $tool"; exit 9; }
done
"$root/dmremap" --version >/dev/null

work=$(mktemp -d -p "$place")
server=
stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
    rm -f "$work/nbd.sock"
}
clean_up() {
    stop_server
    rm -rf "$work"
}
trap clean_up EXIT

main_mib=256
export DMREMAP_CONFIG_DIR="$work/config" DMREMAP_RUN_DIR="$work/run"
mkdir -m 0700 "$DMREMAP_CONFIG_DIR" "$DMREMAP_RUN_DIR" "$work/pki"
dd if=/dev/urandom of="$work/main" bs=1M count=$main_mib status=none
dd if=/dev/zero of="$work/spare" bs=1M count=64 status=none
cp "$work/main" "$work/copy"
"$root/dmremap" create bench --main "$work/main" --spare "$work/spare" --yes >&2

# certificate ROLE PURPOSE: key and certificate, of the authority, for this machine.
certificate() {
    openssl req -newkey rsa:2048 -nodes -keyout "$work/pki/$1-key.pem" -out "$work/request" \
        -subj "/CN=$1" 2>>"$work/log"
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=%s\n' "$2" >"$work/extensions"
    openssl x509 -req -in "$work/request" -CA "$work/pki/ca-cert.pem" -CAkey "$work/ca-key.pem" \
        -CAcreateserial -days 2 -extfile "$work/extensions" -out "$work/pki/$1-cert.pem" 2>>"$work/log"
}
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/ca-key.pem" -out "$work/pki/ca-cert.pem" \
    -days 2 -subj '/CN=bench' 2>>"$work/log"
certificate server serverAuth
certificate client clientAuth

uri_of() {
    case $1 in
    plain) printf 'nbd+unix:///?socket=%s' "$work/nbd.sock" ;;
    *) printf 'nbds+unix:///?socket=%s&tls-certificates=%s' "$work/nbd.sock" "$work/pki" ;;
    esac
}

start_server() {
    local dmremap=("$root/dmremap" serve bench --socket "$work/nbd.sock")
    case $1 in
    plain) "${dmremap[@]}" >/dev/null 2>>"$work/log" & ;;
    dmremap) "${dmremap[@]}" --tls require --tls-dir "$work/pki" >/dev/null 2>>"$work/log" & ;;
    nbdkit)
        nbdkit -f -U "$work/nbd.sock" --tls=require --tls-certificates="$work/pki" --tls-verify-peer \
            file "$work/main" &
        ;;
    esac
    server=$!
    local tries
    for tries in $(seq 1 100); do
        if nbdinfo --size "$(uri_of "$1")" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    say "$1 did not start after $tries tries"
    exit 1
}

cases=(copy-1 copy-4 copy-in)

# rate FROM TO OPTION...: copies the whole image, and prints MiB a second.
rate() {
    local began
    began=$(date +%s%N)
    nbdcopy "${@:3}" "$1" "$2" >>"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    awk -v ns=$(($(date +%s%N) - began)) -v mib=$main_mib 'BEGIN { printf "%.0f\n", mib * 1e9 / ns }'
}

measure() {
    local uri
    uri=$(uri_of "$1")
    case $2 in
    copy-in) rate "$work/copy" "$uri" --connections=1 ;;
    copy-*) rate "$uri" null: --connections="${2#copy-}" ;;
    esac >>"$work/$1.$2"
}

for round in $(seq 1 "$rounds"); do
    for one in dmremap nbdkit plain; do
        say "round $round of $rounds: $one"
        start_server "$one"
        for case in "${cases[@]}"; do
            measure "$one" "$case"
        done
        stop_server
    done
done

best() { sort -n "$work/$1.$2" | tail -n 1; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }

printf 'nbdcopy inside TLS, best of %s rounds; MiB/s;' "$rounds"
printf ' %s, %s processors\n\n' "$(uname -sr)" "$(nproc)"
printf '| case | dmremap | nbdkit file | dmremap/nbdkit | dmremap without TLS |\n'
printf '|---|--:|--:|--:|--:|\n'
for case in "${cases[@]}"; do
    a=$(best dmremap "$case") b=$(best nbdkit "$case") c=$(best plain "$case")
    printf '| %s | %s | %s | %s | %s |\n' "$case" "$a" "$b" "$(ratio "$a" "$b")" "$c"
done
