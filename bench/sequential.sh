#!/bin/bash
# sequential.sh: reading the image's largest file from one end to the other: from
# the local cache with the page cache cold, and over the link; overlayfs beside
# firstlight, as a markdown table.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"

bench_begin
mount_tree() {
    image_pull "$1" "$bench_image"
    rootfs_mount "$1" "$bench_image" "$work/tree-$1"
}
read_whole() { dd if="$work/tree-$1/$file" of=/dev/null bs=1M status=none; }
rate() { awk -v bytes="$size" -v s="$1" 'BEGIN { printf "%.0f\n", bytes / s / 1e6 }'; }
cpu_seconds() { # of the daemon so far
    awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$(daemon_pid)/stat"
}

mount_tree overlayfs
file=$(find "$work/tree-overlayfs" -xdev -type f -printf '%s %P\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
size=$(stat -c %s "$work/tree-overlayfs/$file")

# The image's name is the overlayfs one's as well: it stays, so that only our side is cold.
cold_link() {
    [[ $E2E_SNAPSHOTTER == firstlight ]] || return 0
    if mountpoint -q "$work/tree-firstlight"; then
        rootfs_unmount firstlight "$work/tree-firstlight"
        for chain in $(image_chains "$bench_image" | tac); do
            ctr snapshots --snapshotter firstlight rm "$chain"
        done
    fi
    daemon_stop
    rm -rf "$work/fl"
    daemon_start
    mount_tree firstlight
}
if [[ $E2E_SNAPSHOTTER == firstlight ]]; then
    for ((round = 0; round < (BENCH_ROUNDS + 1) / 2; round++)); do
        cold_link
        drop_caches 3
        before=$(cpu_seconds)
        figure firstlight-link "$(seconds read_whole firstlight)"
        figure firstlight-link-cpu "$(awk -v a="$before" -v b="$(cpu_seconds)" 'BEGIN { print b - a }')"
    done
fi
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    for each in "${bench_sides[@]}"; do
        drop_caches 3
        figure "$each-local" "$(rate "$(seconds read_whole "$each")")"
    done
done

table_head "$file, $(megabytes "$size") MB, sequential" overlayfs firstlight \
    "reference, 130 MB: its overlayfs / itself"
table "from the local cache, page cache cold, MB/s" "$(figure_of overlayfs-local)" \
    "$(figure_of "$E2E_SNAPSHOTTER-local")" "1946 / 495"
table "over the link, s (CPU s of the daemon)" – \
    "$(figure_of firstlight-link) ($(figure_of firstlight-link-cpu))" "– / 6.8 (4.3)"
