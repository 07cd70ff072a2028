#!/bin/bash
# A blob damaged in the registry: EIO on exactly the files it touches, right bytes
# everywhere else, and the fault is told in the state file, the log and a metric.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

e2e_begin
registry_start "$(image_ensure)"
containerd_start
image=$(ref esgz)
ctr image pull --plain-http --snapshotter overlayfs "$image" >/dev/null 2>&1 ||
    fail "pulling $image into overlayfs"
rootfs_mount overlayfs "$image" "$work/good"
tree_manifest "$work/good" >"$work/good.manifest"
rootfs_unmount overlayfs "$work/good"

file=odd/sizes/three
IFS=$'\t' read -r layer _ _ _ _ _ digest < <(file_chunks "$image" $file | tail -n 1)
blob_own "$layer"
IFS=$'\t' read -r _ at length begin end _ < <(estargz corrupt "$(blob_path "$layer")" $file)
say "damaged $file: its bytes from $at, blob range $begin-$end of $layer"
mapfile -t touched < <(for each in $(image_layers "$image"); do
    estargz chunks "$(blob_path "$each")"
done | awk -F'\t' -v digest="$digest" '$6 == digest { print $1 }' | sort -u)
check_equal "files that hold the chunk" "$file" "${touched[*]}"

daemon_start
image_pull "$E2E_SNAPSHOTTER" "$image"
rootfs_mount "$E2E_SNAPSHOTTER" "$image" "$work/tree"
for try in first second; do # the fault must not be cached as data
    tree_manifest "$work/tree" >"$work/bad.manifest"
    sed -E "s|^('$file' .* sha256=)[0-9a-f]+|\1unreadable:5|" "$work/good.manifest" >"$work/expected.manifest"
    [[ $E2E_SNAPSHOTTER == firstlight ]] || cp "$work/good.manifest" "$work/expected.manifest"
    check "EIO on $file alone, right bytes elsewhere ($try reading)" \
        diff "$work/expected.manifest" "$work/bad.manifest"
    drop_caches || true
done
[[ $E2E_SNAPSHOTTER == firstlight ]] || exit 0

IFS=$'\t' read -r _ _ at0 length0 _ _ digest0 < <(file_chunks "$image" $file | head -n 1)
check_equal "the first chunk of the damaged file" "${digest0#sha256:}" \
    "$(cold_read "$work/tree/$file" "$at0" "$length0" | cut -d' ' -f2)"
check_equal "its last byte" "errno=5" \
    "$(cold_read "$work/tree/$file" $((at + length - 1)) 1 | cut -d' ' -f2)"

check "the state file tells the error" "$e2e_python" -c '
import json, sys
state = json.load(open(sys.argv[1]))
print(state)
sys.exit(not (state.get("error") and state["digest"] == sys.argv[2]))' \
    "$work/tree/.stargz-snapshotter/$layer.json" "$layer"
check "a log line names the layer, the file and the place" \
    grep -qE "^(.*$layer.*$file.*|.*$file.*$layer.*)$" "$work/firstlightd.log"
check_between "the metric that counts it" 1 1000000 "$(metric firstlight_chunks_corrupt_total)"
