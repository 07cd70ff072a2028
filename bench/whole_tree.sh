#!/bin/bash
# whole_tree.sh: tar of a whole cold tree over the link: wall seconds, as a multiple of
# what the bytes need at the link's rate, and processor seconds of the daemon; as
# everything is by default, and with nothing fetched that is not read.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"

: "${BENCH_INSIDE:=0}"  # 1: tar runs in a container, else on the mount
: "${BENCH_BLOBS:=nginx}" # registry: blobs come from docker-registry as well

cpu_seconds() { # of the daemon so far
    awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$(daemon_pid)/stat"
}
read_tree() {
    if [[ $BENCH_INSIDE == 1 ]]; then
        # Its output is read: tar does not read files that go to /dev/null.
        run firstlight "$bench_image" tree sh -c \
            'tar --one-file-system --create --file - / 2>/dev/null | cat >/dev/null'
    else
        tar --one-file-system --create --file - --directory "$work/tree" . | cat >/dev/null
    fi
}
is_cold() {
    bench_cold firstlight
    image_pull firstlight "$bench_image"
    [[ $BENCH_INSIDE == 1 ]] || rootfs_mount firstlight "$bench_image" "$work/tree"
}
forget() {
    [[ $BENCH_INSIDE == 1 ]] || rootfs_unmount firstlight "$work/tree"
    image_forget firstlight "$bench_image"
}
# The layers by one client that does nothing with them: what this machine, which is also
# the link and the registry, makes of the link's rate just now.
download_only() {
    local layer
    for layer in $(image_layers "$bench_image"); do
        "$e2e_python" -c 'import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as blob:
    while blob.read(1 << 20): pass' "http://$link_host/v2/demo/blobs/$layer"
    done
}
measure() { # NAME
    local bytes cpu wall
    is_cold
    # What the background has brought since the pull is a part of the tree as well; so is
    # the time that it took, which is short.
    bytes=$(link_bytes)
    cpu=$(cpu_seconds)
    wall=$(seconds read_tree)
    bytes=$(($(link_bytes) - bytes))
    figure "$1-cpu" "$(awk -v a="$cpu" -v b="$(cpu_seconds)" 'BEGIN { print b - a }')"
    figure "$1" "$wall"
    figure "$1-bytes" "$bytes"
    figure "$1-times" "$(awk -v s="$wall" -v n="$bytes" -v rate="$BENCH_RATE_MBIT" \
        'BEGIN { printf "%.2f\n", s / (n * 8e-6 / rate) }')"
    figure "$1-rss" "$(awk '/^VmHWM/ { printf "%.1f\n", $2 * 1024e-6 }' "/proc/$(daemon_pid)/status")"
    [[ $1 == idle ]] || figure alone "$(seconds download_only)"
    forget
}
cpu_a_100_mb() { awk -v s="$(figure_of "$1-cpu")" -v n="$(figure_of "$1-bytes")" \
    'BEGIN { printf "%.2f\n", s * 1e8 / n }'; }

bench_begin
[[ $E2E_SNAPSHOTTER == firstlight ]] || skip "only firstlight reads lazily"
if [[ $BENCH_BLOBS == nginx ]]; then
    blob_server_start
    link_stop
    link_start --delay-ms "$BENCH_DELAY_MS" --rate-mbit "$BENCH_RATE_MBIT"
    bench_image=$(ref "$BENCH_TAG" "$link_host")
fi
default_config=$daemon_config_top
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    measure default
    daemon_idle
    measure idle
    daemon_config_top=$default_config
done

row() { # WHAT SUFFIX REFERENCE
    table "$1" "$(figure_of "default$2")" "$(figure_of "idle$2")" "$3"
}
table_head "tar of a whole cold tree over the link" "firstlight" \
    "with nothing but what is read" "reference, 213 MB"
table "MB over the link" "$(megabytes "$(figure_of default-bytes)")" \
    "$(megabytes "$(figure_of idle-bytes)")" "213"
row "s" "" "36.3"
table "s for the layers by one client that throws them away" "$(figure_of alone)" "" "8.5"
row "÷ what the bytes need at the link's rate" -times "4.3"
row "CPU s of the daemon" -cpu "11.4"
table "CPU s for 100 MB" "$(cpu_a_100_mb default)" "$(cpu_a_100_mb idle)" "5.35"
row "peak RSS, MB" -rss "49–102"
