#!/bin/bash
# kill -9 in the middle of the background download, and a new daemon over the same
# directory: it goes on by itself and finishes; what is fetched a second time is what was
# under way: chunks that had not come to their ends.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

[[ $E2E_SNAPSHOTTER == firstlight ]] || skip "only firstlight downloads in the background"
# The small image takes seconds as well.
rate=8
chunk=$((256 * 1024))
if [[ $FIRSTLIGHT_E2E_FULL == 1 ]]; then
    rate=200
    chunk=$((4 * 1024 * 1024))
fi
# Four stretches at once (max_concurrency): of each a chunk, and what waits in its socket.
lost_at_most=$((4 * (chunk + 256 * 1024)))

e2e_begin
registry_start "$(image_ensure)"
blob_server_start
link_start --delay-ms 5 --rate-mbit "$rate"
containerd_start
daemon_start
image=$(ref esgz "$link_host")

# Bytes of blobs that were asked for, each counted once however often it was.
asked_once() {
    "$e2e_python" - "$work/link-requests.log" "$work/registry" <<'PYTHON'
import collections, os, re, sys
spans = collections.defaultdict(list)
for line in open(sys.argv[1]):
    target, asked = line.split()[2:4]
    found = re.search(r"/blobs/sha256:(..)(\w+)$", target)
    if found:
        size = os.path.getsize(f"{sys.argv[2]}/docker/registry/v2/blobs/sha256/"
                               f"{found[1]}/{found[1]}{found[2]}/data")
        first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", asked).groups() if asked != "-" else (0, "")
        begin = int(first) if first != "" else max(size - int(last), 0)
        end = min(int(last) + 1, size) if first != "" and last != "" else size
        spans[target].append((begin, end))
once = 0
for these in spans.values():
    seen = 0
    for begin, end in sorted(these):
        once += max(end - max(begin, seen), 0)
        seen = max(seen, end)
print(once)
PYTHON
}
fetched() { metric '^firstlight_registry_bytes_total'; }
fetched_at_least() { (($(fetched) >= $1)); }
complete() { metric '^firstlight_layers_complete_total'; }
all_complete() { (($(complete) == layers)); }
quiet() { # nothing more comes
    local before
    before=$(link_bytes)
    sleep 0.3
    [[ $(link_bytes) == "$before" ]]
}

image_pull firstlight "$image"
layers=$(image_layers "$image" | wc -l)
whole=$(image_bytes "$image")
pulled=$(link_bytes)
wait_until 120 "half of the image to be there" fetched_at_least $((whole / 2))
# One look, then the kill: how much was on its way to the disk.
scrape=$(metrics)
daemon_kill
had=$(metric_in '^firstlight_registry_bytes_total' <<<"$scrape")
ok "killed after $had of $whole bytes"
say "of these $((had - $(metric_in '^firstlight_chunk_fetched_bytes_total' <<<"$scrape"))) had no whole chunk yet;" \
    "$(metric_in '^firstlight_cache_memory_bytes' <<<"$scrape") bytes of content were not on disk"
wait_until 20 "the link to be empty" quiet
before=$(link_bytes)
(($(link_bytes) < whole)) || fail "all was there before the kill"

daemon_start
wait_until 120 "all $layers layers to be complete" all_complete
ok "the download went on by itself: all $layers layers are complete"
wait_until 20 "the link to be empty" quiet
total=$(link_bytes)
requests=$(wc -l <"$work/link-requests.log")
once=$(asked_once)
# The manifest, and headers of 300 bytes or so, are in this as well.
twice=$((total - once))
say "the link brought $pulled bytes with the pull, $((before - pulled)) until the kill and" \
    "$((total - before)) after it; $requests requests for $once different bytes"
say "more than those: $(awk -v n="$twice" -v of="$whole" 'BEGIN { printf "%.2f", 100 * n / of }') %" \
    "of the image's $whole bytes"
check_between "bytes fetched twice" 0 "$lost_at_most" "$twice"

link_stop
registry_stop
drop_caches || true
rootfs_mount firstlight "$image" "$work/tree"
read_tree() { tree_manifest "$work/tree" >"$work/manifest"; }
check "the whole tree can be read, without a registry" read_tree
check_equal "reads that failed" 0 "$(metric '^firstlight_read_errors_total')"
