#!/bin/bash
# metadata.sh: seconds for a walk over the whole tree, kernel caches warm, overlayfs
# beside firstlight, as a markdown table.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"

bench_begin
for each in "${bench_sides[@]}"; do
    image_pull "$each" "$bench_image"
    rootfs_mount "$each" "$bench_image" "$work/tree-$each"
done
find_all() { find "$work/tree-$1" -printf '%p %s %m %u %T@\n'; }
list_all() { ls -lR "$work/tree-$1"; }

for each in "${bench_sides[@]}"; do
    figure "$each-find-cold" "$(drop_caches 3; seconds find_all "$each")"
    list_all "$each" >/dev/null 2>&1 || true
done
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    for each in "${bench_sides[@]}"; do
        figure "$each-find" "$(seconds find_all "$each")"
        figure "$each-list" "$(seconds list_all "$each")"
    done
done

entries=$(find "$work/tree-overlayfs" | wc -l)
table_head "the tree's $entries entries, s" overlayfs firstlight \
    "reference, 8 900 entries: its overlayfs / itself"
row() { table "$1" "$(figure_of "overlayfs-$2")" "$(figure_of "$E2E_SNAPSHOTTER-$2")" "$3"; }
row "find -printf, kernel caches warm" find "0.12 / 0.80"
row "ls -lR, warm" list "0.14 / 1.37"
row "find -printf, kernel caches cold (once)" find-cold –
