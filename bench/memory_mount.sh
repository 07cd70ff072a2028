#!/bin/bash
# memory_mount.sh: the time to mount all layers of an image never seen before over
# the link, and the daemon's resident memory with it mounted, walked and read; as a
# markdown table.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"

daemon_idle
bench_begin
resident() { # VmRSS or VmHWM of the daemon, in MB
    awk -v key="$1:" '$1 == key { printf "%.1f\n", $2 * 1024 / 1e6 }' "/proc/$(daemon_pid)/status"
}
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    bench_cold "$E2E_SNAPSHOTTER"
    [[ $E2E_SNAPSHOTTER != firstlight ]] || figure idle "$(resident VmRSS)"
    log=$(stat -c %s "$work/containerd.log")
    mark=$(registry_mark)
    figure pull "$(seconds image_pull "$E2E_SNAPSHOTTER" "$bench_image")"
    figure mount "$(prepare_time "$log")"
    figure mount-bytes "$(registry_bytes "$mark")"
    [[ $E2E_SNAPSHOTTER == firstlight ]] || continue
    figure inside "$(metric '^firstlight_layer_open_seconds_sum' 1000)"
    rootfs_mount firstlight "$bench_image" "$work/tree"
    figure mounted "$(resident VmRSS)"
    find "$work/tree" -printf '%s\n' >/dev/null
    figure walked "$(resident VmRSS)"
    if ((round == BENCH_ROUNDS - 1)); then
        tar -C "$work/tree" -cf - . 2>/dev/null | cat >/dev/null
        figure read "$(resident VmRSS)"
        figure peak "$(resident VmHWM)"
    fi
    rootfs_unmount firstlight "$work/tree"
done

whole=$(image_bytes "$bench_image")
table_head "an image of $(image_layers "$bench_image" | wc -l) layers, $(megabytes "$whole") MB" \
    firstlight reference
table "mounting all layers over the link, first Prepare to last answer, ms" "$(figure_of mount)" –
table "of which in the snapshotter, ms" "$(figure_of inside)" –
table "pull as the client sees it, s" "$(figure_of pull)" –
table "MB fetched by it" "$(megabytes "$(figure_of mount-bytes)")" –
table "resident memory, nothing mounted, MB" "$(figure_of idle)" –
table "mounted, MB" "$(figure_of mounted)" –
table "after a walk over the tree, MB" "$(figure_of walked)" –
table "after reading all of it, MB" "$(figure_of read)" –
table "peak, MB" "$(figure_of peak)" "49–102"
