#!/bin/bash
# Eight readers of one cold chunk, at different places of it, cost one request.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

e2e_begin
registry_start "$(image_ensure)"
link_start --delay-ms 10 # long enough for all eight to wait at once
containerd_start
daemon_quiet
daemon_start
image=$(ref esgz "$link_host")

image_pull "$E2E_SNAPSHOTTER" "$image"
rootfs_mount "$E2E_SNAPSHOTTER" "$image" "$work/tree"
file=odd/sizes/random
IFS=$'\t' read -r layer _ at length begin end digest < <(file_chunks "$image" $file | sed -n 2p)
step=$((length / 8))
ls -l "$work/tree/$file" >/dev/null

mark=$(registry_mark)
: >"$work/link-requests.log"
read -r wall first rest < <(cold_read "$work/tree/$file" "$at" 1000 8 $step)
say "eight readers were answered after $wall ms: ${first:0:12} …"
[[ "$first $rest" != *errno* ]] || fail "a reader got an error: $first $rest"

if [[ $E2E_SNAPSHOTTER == firstlight ]]; then
    check_equal "requests for blobs in the registry's log" 1 "$(registry_requests "$mark")"
    check_equal "of the layer that holds the file" 1 "$(registry_requests "$mark" "/blobs/$layer")"
    range=$(awk '{ print $4 }' "$work/link-requests.log")
    check "the range asked for ($range) is the chunk's, $begin-$((end - 1))" \
        [ "$range" = "bytes=$begin-$((end - 1))" ]
fi
mark=$(registry_mark)
check_equal "the whole chunk's digest" "${digest#sha256:}" \
    "$(cold_read "$work/tree/$file" "$at" "$length" | cut -d' ' -f2)"
check_equal "requests when it is read again" 0 "$(registry_requests "$mark")"
