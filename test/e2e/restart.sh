#!/bin/bash
# kill -9 of the daemon, and a new one over the same directory, with the registry
# gone: snapshots and what was fetched are still there, new containers run.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

e2e_begin
registry_start "$(image_ensure)"
containerd_start
daemon_start
image=$(ref esgz)
snapshotter=$E2E_SNAPSHOTTER

image_pull "$snapshotter" "$image"
rootfs_mount "$snapshotter" "$image" "$work/before"
tree_manifest "$work/before" >"$work/before.manifest" # reads everything, so all is cached
rootfs_unmount "$snapshotter" "$work/before"
run "$snapshotter" "$image" first cat /etc/hello >/dev/null
# An active snapshot with a change in it lives through the restart as well.
rootfs_mount "$snapshotter" "$image" "$work/active"
echo mine >"$work/active/etc/mine"
umount "$work/active"
snapshots() { ctr snapshots --snapshotter "$snapshotter" ls | sort; }
snapshots >"$work/snapshots.before"

# What a kill in the middle leaves behind.
if [[ $snapshotter == firstlight ]]; then
    daemon_kill
    leftover=$(find "$work/fl" -maxdepth 2 -type d -name snapshots -print -quit)/new-12345
    mkdir -p "$leftover/fs"
fi
registry_stop
daemon_start
snapshots >"$work/snapshots.after"
check "the same snapshots are there" diff "$work/snapshots.before" "$work/snapshots.after"
check_equal "a new container runs" "upper hello" "$(run "$snapshotter" "$image" second cat /etc/hello)"
drop_caches || true
rootfs_mount "$snapshotter" "$image" "$work/after"
tree_manifest "$work/after" >"$work/after.manifest"
check "the whole tree is there, without a registry" diff "$work/before.manifest" "$work/after.manifest"
ctr snapshots --snapshotter "$snapshotter" mounts "$work/active" rootfs-active >"$work/mount.sh"
sh "$work/mount.sh"
check_equal "a change made before" mine "$(cat "$work/active/etc/mine")"
umount "$work/active" "$work/after"

if [[ $snapshotter == firstlight ]]; then
    check "what an unfinished Prepare left is gone" [ ! -e "$leftover" ]
    check_equal "FUSE mounts of the daemon" 1 \
        "$(grep -c " - fuse[^ ]* .*" <(grep -F " $work/fl" /proc/self/mountinfo) || true)"
    daemon_stop
    check_equal "mounts left after an orderly stop" "" "$(e2e_mounts)"
fi
