#!/bin/bash
# The registry goes away while a container's files are in use: what is cached can
# be read, what is not gives EIO within the deadline, and all is well when the
# registry is back.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

daemon_fetching_timeout=4
e2e_begin
registry_start "$(image_ensure)"
containerd_start
daemon_quiet
daemon_start
image=$(ref esgz)

image_pull "$E2E_SNAPSHOTTER" "$image"
rootfs_mount "$E2E_SNAPSHOTTER" "$image" "$work/tree"
IFS=$'\t' read -r _ _ at length _ _ digest < <(file_chunks "$image" odd/sizes/random | sed -n 1p)
IFS=$'\t' read -r _ _ cold_at cold_length _ _ cold_digest < <(file_chunks "$image" odd/sizes/random | sed -n 3p)
cached() { cold_read "$work/tree/odd/sizes/random" "$at" "$length" | cut -d' ' -f2; }
uncached() { cold_read "$work/tree/odd/sizes/random" "$cold_at" "$cold_length"; }
check_equal "a chunk read while the registry is there" "${digest#sha256:}" "$(cached)"

registry_stop
drop_caches || true
uncached >"$work/uncached" &
waiting=$!
sleep 0.2
begin=$(now_ms)
check_equal "the cached chunk, while another read waits" "${digest#sha256:}" "$(cached)"
check_between "ms it took" 0 1500 $(($(now_ms) - begin))
wait $waiting
read -r wall got <"$work/uncached"
if [[ $E2E_SNAPSHOTTER == firstlight ]]; then
    check_equal "an uncached chunk" "errno=5" "$got"
    check_between "ms until the error" 0 $((daemon_fetching_timeout * 1000 + 2000)) "$wall"
fi
check_equal "the cached chunk, after the error" "${digest#sha256:}" "$(cached)"

registry_start
if [[ $E2E_SNAPSHOTTER == firstlight ]]; then
    IFS=$'\t' read -r _ _ cold_at cold_length _ _ cold_digest < <(file_chunks "$image" odd/sizes/random | sed -n 4p)
    kill -STOP "${e2e_pids[registry]}"
    read -r wall got < <(uncached)
    kill -CONT "${e2e_pids[registry]}"
    sleep 0.5 # a read that was late is remembered for a moment
    check_equal "a chunk from a registry that hangs" "errno=5" "$got"
    check_between "ms until the error" 0 $((daemon_fetching_timeout * 1000 + 2000)) "$wall"
fi
check_equal "the uncached chunk, with the registry back" "${cold_digest#sha256:}" \
    "$(uncached | cut -d' ' -f2)"
