#!/bin/bash
# An ordinary image, without a TOC, works exactly as under overlayfs.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

e2e_begin
registry_start "$(image_ensure)"
containerd_start
daemon_start
image=$(ref plain)
snapshotter=$E2E_SNAPSHOTTER

image_pull "$snapshotter" "$image" # with a lazy client's labels
mapfile -t layers < <(image_layers "$image")
if [[ $snapshotter == firstlight ]]; then
    check_equal "layers that fell back" "${#layers[@]}" \
        "$(daemon_log | grep -c '"remote-snapshot-prepared":"false"' || true)"
    for chain in $(image_chains "$image"); do
        if ctr snapshots --snapshotter "$snapshotter" info "$chain" |
            grep -q '"containerd.io/snapshot/remote":'; then
            fail "snapshot $chain carries the remote label"
        fi
    done
    ok "no snapshot carries the remote label"
fi
check_equal "it runs" "upper hello" "$(run "$snapshotter" "$image" hello cat /etc/hello)"
check_equal "it can be written to" "upper hello
more" "$(run "$snapshotter" "$image" write sh -c 'echo more >>/etc/hello; cat /etc/hello')"

ctr image pull --plain-http --snapshotter overlayfs "$image" >/dev/null 2>&1 ||
    fail "pulling $image into overlayfs"
for each in "$snapshotter" overlayfs; do
    rootfs_mount "$each" "$image" "$work/tree-$each"
    tree_manifest "$work/tree-$each" >"$work/$each.manifest"
    rootfs_unmount "$each" "$work/tree-$each"
done
check "its tree is the same as under overlayfs" \
    diff "$work/overlayfs.manifest" "$work/$snapshotter.manifest"

image_forget "$snapshotter" "$image"
ok "removing the image removes its snapshots"
# Without any label, as containerd's own client pulls.
ctr image pull --plain-http --snapshotter "$snapshotter" "$image" >/dev/null 2>&1 ||
    fail "pulling $image without labels"
check_equal "it runs when pulled without labels" "upper hello" \
    "$(run "$snapshotter" "$image" plain cat /etc/hello)"
