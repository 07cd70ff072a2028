# shellcheck shell=bash
# What the benchmarks share, on top of the end-to-end tests' harness.

bench_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/e2e/lib.sh
. "$bench_here/../test/e2e/lib.sh"

: "${BENCH_ROUNDS:=5}"     # interleaved runs; the median is printed
: "${BENCH_IMAGE:=full}"   # small only to try the scripts
: "${BENCH_TAG:=esgz}"
: "${BENCH_DELAY_MS:=5}"   # one way: a round trip of 10 ms
: "${BENCH_RATE_MBIT:=200}"
: "${BENCH_OPTIMIZED:=0}"  # 1: start.sh also with an image optimised for each program
# E2E_SNAPSHOTTER=overlayfs compares overlayfs with itself, to try the scripts.

bench_image=
bench_figures=
# BENCH_WORKLOADS="python gcc": start.sh with those only; BENCH_ALONE=1: without overlayfs.
bench_sides=("$E2E_SNAPSHOTTER")
[[ $E2E_SNAPSHOTTER == overlayfs || ${BENCH_ALONE:-0} == 1 ]] || bench_sides=(overlayfs "${bench_sides[@]}")

# bench_begin: registry, link and containerd; sets bench_image, the reference to use.
# With bench_blob_server=1 the registry spends next to nothing on blobs, and logs none.
bench_begin() {
    e2e_begin
    local storage
    storage=$(image_ensure "$BENCH_IMAGE")
    registry_start "$storage"
    [[ ${bench_blob_server:-0} == 0 ]] || blob_server_start
    link_start --delay-ms "$BENCH_DELAY_MS" --rate-mbit "$BENCH_RATE_MBIT"
    containerd_start
    daemon_start
    bench_image=$(ref "$BENCH_TAG" "$link_host")
    bench_figures=$work/figures
    mkdir "$bench_figures"
}

# bench_cold SNAPSHOTTER: nothing of the image on this machine, as on a new node;
# the registry's blobs in the page cache, or its disk is measured as well.
bench_cold() {
    if ctr image ls -q | grep -qxF "$bench_image"; then
        image_forget "$1" "$bench_image"
    fi
    if [[ $1 == firstlight ]]; then
        daemon_stop
        rm -rf "$work/fl"
    fi
    drop_caches 3
    find "$work/registry" -name data -exec cat {} + >/dev/null
    [[ $1 != firstlight ]] || daemon_start
}

# bench_optimized TAG WORD...: the image, its layers reordered for what this command line
# reads, as demo:TAG in the registry.
bench_optimized() {
    local tag=$1 args
    shift
    args=$("$e2e_python" -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@")
    say "optimising the image for: $*" >&2
    ctr image pull --plain-http "$(ref plain)" >/dev/null
    ctr_remote image optimize --oci --period 5 --entrypoint '[]' --args "$args" \
        "$(ref plain)" "$(ref "$tag")" >"$work/optimize.log" 2>&1 ||
        { tail -n 5 "$work/optimize.log" >&2; fail "optimising the image for $*"; }
    ctr image push --plain-http "$(ref "$tag")" >/dev/null
    ctr image rm --sync "$(ref "$tag")" "$(ref plain)" >/dev/null
}

# figure NAME VALUE: one more measurement; figure_of NAME: their median.
figure() { echo "$2" >>"$bench_figures/$1"; }
figure_of() { if [[ -s $bench_figures/$1 ]]; then median <"$bench_figures/$1"; else echo –; fi; }

# seconds COMMAND...: how long it takes; its output goes to $work/command.log.
seconds() {
    local begin end
    begin=$(date +%s%N)
    "$@" >"$work/command.log" 2>&1 || { cat "$work/command.log" >&2; fail "$*"; }
    end=$(date +%s%N)
    awk -v ns=$((end - begin)) 'BEGIN { printf "%.3f\n", ns / 1e9 }'
}
plus() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f\n", a + b }'; }
megabytes() { awk -v n="$1" 'BEGIN { printf "%.1f\n", n / 1e6 }'; }

table() { # table CELL...: a row of a markdown table
    local cell
    printf '|'
    for cell in "$@"; do printf ' %s |' "$cell"; done
    printf '\n'
}
table_head() {
    table "$@"
    printf '|'
    local cell
    for cell in "$@"; do printf ' --- |'; done
    printf '\n'
}
