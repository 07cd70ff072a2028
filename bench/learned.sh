#!/bin/bash
# learned.sh: what firstlight learns from one cold start for the next: python importing a
# package over a link of 10 ms and 200 Mbit/s, the first time on this node, and again
# with nothing left but the read profiles; with BENCH_OPTIMIZED=1 beside the same image
# optimised for this program. A markdown table.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"

: "${FIRSTLIGHT:=$FIRSTLIGHT_BUILD_DIR/app/firstlight}"
[[ -x $FIRSTLIGHT ]] || skip "$FIRSTLIGHT is not built"
[[ $E2E_SNAPSHOTTER == firstlight ]] || skip "only firstlight learns"
# The background download goes on beside the program, as fast as nobody else wants the
# link: Debian's registry would take a processor for it from the program.
bench_blob_server=1
bench_begin
command=(python3 -c 'import sqlalchemy; print(sqlalchemy.__version__)')
[[ $BENCH_IMAGE != small ]] || command=(/bin/echo hello)

# first_second FILE: in a shell of its own, until told to end (SIGTERM), looks at the daemon's counters; then
# writes how many reads there were in the second after the first one, and how many of
# them had to be fetched.
first_second() {
    exec "$e2e_python" -c '
import signal, sys, time, urllib.request
samples = []
ending = []
signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
while not ending:
    reads = misses = 0
    try:
        text = urllib.request.urlopen(sys.argv[1], timeout=10).read().decode()
    except OSError: # a signal, or the exporter was busy
        continue
    for line in text.splitlines():
        if line.startswith("firstlight_reads_total"): reads += float(line.split()[-1])
        if line.startswith("firstlight_read_misses_total"): misses += float(line.split()[-1])
    samples.append((time.monotonic(), reads, misses))
    time.sleep(0.03)
start = next(s[0] for s in samples if s[1] > 0)
last = [s for s in samples if s[0] <= start + 1][-1]
with open(sys.argv[2], "w") as out:
    print(int(last[1]), int(last[2]), file=out)
' "http://$metrics_host/metrics" "$1"
}

blob_requests() { grep -c /blobs/ "$work/link-requests.log" || true; }

measure() { # NAME IMAGE
    local asked sampler reads misses
    asked=$(blob_requests)
    first_second "$work/reads" &
    sampler=$!
    figure "$1-pull" "$(seconds image_pull firstlight "$2")"
    figure "$1-run" "$(seconds run firstlight "$2" bench "${command[@]}")"
    figure "$1-bytes" "$(metric '^firstlight_chunk_fetched_bytes_total')"
    figure "$1-requests" "$(($(blob_requests) - asked))"
    kill "$sampler"
    wait "$sampler" || fail "looking at the daemon's counters"
    read -r reads misses <"$work/reads"
    figure "$1-hits" "$(awk -v r="$reads" -v m="$misses" 'BEGIN { printf "%.1f\n", r ? 100 * (r - m) / r : 0 }')"
    figure "$1-reads" "$reads"
    figure "$1-asked" "$(metric firstlight_profile_chunks_total)"
    image_forget firstlight "$2"
}

optimized=
if [[ $BENCH_OPTIMIZED == 1 ]]; then
    bench_optimized learned "${command[@]}"
    optimized=$(ref learned "$link_host")
fi
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    bench_cold firstlight
    measure first "$bench_image"
    "$FIRSTLIGHT" profile export -o "$work/profiles" --root "$work/fl" >/dev/null
    bench_cold firstlight
    "$FIRSTLIGHT" profile import "$work/profiles" --root "$work/fl" >/dev/null
    measure second "$bench_image"
    if [[ -n $optimized ]]; then
        bench_cold firstlight
        measure optimized "$optimized"
    fi
done

row() { # NAME WHAT
    table "$2" "$(figure_of "$1-pull")" "$(figure_of "$1-run")" \
        "$(figure_of "$1-hits") % of $(figure_of "$1-reads")" "$(figure_of "$1-asked")" \
        "$(megabytes "$(figure_of "$1-bytes")"), $(figure_of "$1-requests")"
}
table_head "${command[0]}, over the link" "pull, s" "create+run, s" \
    "hits among the reads of the first second" "chunks asked for by profile" "MB of chunks fetched by then, requests"
row first "first start on the node"
row second "second start, cache dropped, profiles kept"
[[ -z $optimized ]] || row optimized "first start of the image optimised for it"
