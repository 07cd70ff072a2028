#!/bin/sh
# Runs containerd's snapshotter suite against a daemon that this script starts.
#
#     run.sh FIRSTLIGHTD     starts it on an empty root
#     run.sh --socket PATH   uses a daemon that runs already
#
# FIRSTLIGHT_TEST_DIR: a directory on a disk on which overlayfs works (default /var/tmp).
# Exit status 77: cannot run here.
set -eu

skip() {
    echo "skipped: $1"
    exit 77
}

sources=${GOPATH:-/usr/share/gocode}
[ "$(id -u)" = 0 ] || skip "needs root, to mount overlayfs"
command -v go >/dev/null || skip "needs Go (package golang-go)"
[ -d "$sources/src/github.com/containerd/containerd/snapshots/testsuite" ] ||
    skip "needs the package golang-github-containerd-containerd-dev"

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${FIRSTLIGHT_TEST_DIR:-/var/tmp}/firstlight-conformance-XXXXXX")
daemon=
clean_up() {
    status=$?
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" || true
    fi
    # A case that failed may have left mounts.
    grep -o " ${work}[^ ]*" /proc/self/mounts | sort -r | while read -r mounted; do
        umount -l "$mounted" || true
    done
    if [ "$status" = 0 ]; then
        rm -rf "$work"
    else
        echo "what is left is in $work"
    fi
}
trap clean_up EXIT
trap 'exit 1' INT TERM

mkdir "$work/lower" "$work/upper" "$work/work" "$work/merged"
mount -t overlay overlay "$work/merged" \
    -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/work" 2>/dev/null ||
    skip "overlayfs does not work in $work; set FIRSTLIGHT_TEST_DIR to a directory on a disk"
umount "$work/merged"

if [ "${1:-}" = --socket ]; then
    socket=$2
else
    [ -e /dev/fuse ] || skip "needs /dev/fuse"
    socket=$work/run/firstlightd.sock
    : >"$work/firstlightd.toml"
    "$1" --config "$work/firstlightd.toml" --address "$socket" --root "$work/root" \
        2>"$work/firstlightd.log" &
    daemon=$!
fi

# Debian's Go packages are a GOPATH. Give a GOCACHE to keep: containerd's packages
# take a minute to compile.
cd "$here"
GO111MODULE=off GOPATH=$sources GOFLAGS=-mod= GOCACHE=${GOCACHE:-$work/go-cache} \
    go test -c -o "$work/conformance" ./conformance_test.go

tries=0
while ! [ -S "$socket" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || { [ -n "$daemon" ] && ! kill -0 "$daemon" 2>/dev/null; }; then
        cat "$work/firstlightd.log"
        echo "the daemon does not listen on $socket"
        exit 1
    fi
    sleep 0.1
done

# The suite works in TMPDIR, and mounts there.
mkdir "$work/tmp"
if ! TMPDIR=$work/tmp FIRSTLIGHT_SOCKET=$socket "$work/conformance" -test.root -test.v \
    >"$work/suite.log" 2>&1; then
    cat "$work/suite.log"
    [ -z "$daemon" ] || cat "$work/firstlightd.log"
    exit 1
fi
grep -E '^ *--- ' "$work/suite.log"
passed=$(grep -c '^ *--- PASS: TestConformance/' "$work/suite.log")
skipped=$(grep -c '^ *--- SKIP: TestConformance/' "$work/suite.log" || true)
echo "passed $passed, skipped themselves $skipped"
[ "$passed" -ge 20 ]

if [ -n "$daemon" ]; then
    kill "$daemon"
    wait "$daemon"
    daemon=
    left=$(ls "$work/root/snapshots")
    [ -z "$left" ] || { echo "left in the snapshotter's root: $left"; exit 1; }
fi
