#!/bin/bash
# Over a link with a round trip of 20 ms: the layers of an image are asked for side by
# side, once each, and one byte of a cold file costs one request. With
# FIRSTLIGHT_E2E_TIMED=1, on a machine that does nothing else, also by the clock:
# mounting all layers takes at most four round trips, the byte one and a half. What
# containerd and its client spend between two layers is shown, but not counted.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

round_trip=20
timed=${FIRSTLIGHT_E2E_TIMED:-0}

# What the clock says: a check when it is asked for, a remark otherwise.
by_the_clock() { # WHAT LOW HIGH VALUE
    if [[ $timed == 1 ]]; then
        check_between "$@"
    else
        say "$1: $4 (within $2 and $3 on an idle machine)"
    fi
}
requests() { grep -c /blobs/ "$work/link-requests.log" || true; }

e2e_begin
registry_start "$(image_ensure)"
blob_server_start
link_start --delay-ms $((round_trip / 2))
containerd_start
daemon_quiet
image=$(ref esgz "$link_host")

# Cold each time: a daemon that knows nothing, connections not yet made.
for ((i = 0; i < 3; i++)); do
    rm -rf "$work/fl"
    daemon_start
    log=$(stat -c %s "$work/containerd.log")
    : >"$work/link-requests.log"
    image_pull "$E2E_SNAPSHOTTER" "$image"
    say "first Prepare to last answer: $(prepare_time "$log") ms," \
        "$(requests) requests for blobs in the whole pull"
    if [[ $E2E_SNAPSHOTTER == firstlight ]]; then
        metric '^firstlight_layer_open_seconds_sum' 1000 >>"$work/mount-times"
        say "of which mounting the layers: $(tail -n 1 "$work/mount-times") ms"
        # The config, and each layer's end: size, footer and TOC in one range.
        check_equal "requests for blobs" $(($(image_layers "$image" | wc -l) + 1)) \
            "$(requests)"
        [[ $timed != 1 ]] || check_equal "layers asked for before the first answer can have come" \
            "$(image_layers "$image" | wc -l)" \
            "$(awk -v trip=$round_trip '/bytes=-/ { if (!first) first = $1
                if (($1 - first) * 1000 < trip) n++ } END { print n + 0 }' "$work/link-requests.log")"
    fi
    ((i == 2)) || { image_forget "$E2E_SNAPSHOTTER" "$image"; daemon_stop; }
done
if [[ $E2E_SNAPSHOTTER == firstlight ]]; then
    by_the_clock "ms to mount $(image_layers "$image" | wc -l) cold layers, median" \
        $round_trip $((4 * round_trip)) "$(median <"$work/mount-times")"
fi

rootfs_mount "$E2E_SNAPSHOTTER" "$image" "$work/tree"
for file in odd/sizes/one odd/sizes/above odd/sizes/three odd/sizes/text odd/links/first; do
    ls -l "$work/tree/$file" >/dev/null
    : >"$work/link-requests.log"
    read -r wall got < <(cold_read "$work/tree/$file" 0 1)
    [[ $got != errno* ]] || fail "reading $file: $got"
    say "one byte of $file: $wall ms, $(requests) request(s)"
    [[ $E2E_SNAPSHOTTER != firstlight ]] ||
        check_equal "requests for it" 1 "$(requests)"
    echo "$wall" >>"$work/read-times"
done
[[ $E2E_SNAPSHOTTER != firstlight ]] ||
    by_the_clock "ms to read one byte of a cold file, median" \
        $round_trip $((round_trip * 3 / 2)) "$(median <"$work/read-times")"
