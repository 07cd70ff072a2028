#!/bin/bash
# start.sh: seconds from nothing to a program's end (pull, create, run) over a link
# of 10 ms and 200 Mbit/s, overlayfs beside firstlight, as a markdown table.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"

bench_begin
# A snapshotter is only measured while it still has to fetch.
read -ra workloads <<<"${BENCH_WORKLOADS:-echo python python-import gcc}"
declare -A reference=([echo]="5.2 / 0.76" [python]="10.6 / 1.49" [python-import]="10.9 / 4.88" [gcc]="13.3 / 4.18")
declare -A reference_optimized=([echo]=0.75 [python]=0.82 [python-import]=4.17 [gcc]=2.32)
declare -A what=([echo]="echo" [python]="python3 -c print" [python-import]="python3, import of a package"
    [gcc]="gcc hello.c")
program() { # the command line of a workload, one word a line
    case $1 in
    echo) printf '%s\n' /bin/echo hello ;;
    python) printf '%s\n' python3 -c 'print("hello")' ;;
    python-import) printf '%s\n' python3 -c 'import sqlalchemy; print(sqlalchemy.__version__)' ;;
    gcc) printf '%s\n' sh -c 'echo "int main(void) { return 0; }" >/tmp/h.c && gcc -o /tmp/h /tmp/h.c && /tmp/h' ;;
    esac
}
[[ $BENCH_IMAGE != small ]] || workloads=(echo)

measure() { # SNAPSHOTTER WORKLOAD [TAG]
    local mark pull start command name=$1-$2${3:+-optimized}
    local bench_image=${3:+$(ref "$3" "$link_host")}
    : "${bench_image:=$(ref "$BENCH_TAG" "$link_host")}"
    mapfile -t command < <(program "$2")
    bench_cold "$1"
    mark=$(registry_mark)
    pull=$(seconds image_pull "$1" "$bench_image")
    start=$(seconds run "$1" "$bench_image" bench "${command[@]}")
    figure "$name-pull" "$pull"
    figure "$name" "$(plus "$pull" "$start")"
    figure "$name-bytes" "$(registry_bytes "$mark")"
    figure "$name-requests" "$(registry_requests "$mark")"
    image_forget "$1" "$bench_image"
}

if [[ $BENCH_OPTIMIZED == 1 ]]; then
    for workload in "${workloads[@]}"; do
        mapfile -t command < <(program "$workload")
        bench_optimized "$workload" "${command[@]}"
    done
fi
for ((round = 0; round < BENCH_ROUNDS; round++)); do
    for workload in "${workloads[@]}"; do
        [[ $BENCH_OPTIMIZED != 1 ]] || measure "$E2E_SNAPSHOTTER" "$workload" "$workload"
        for each in "${bench_sides[@]}"; do
            measure "$each" "$workload"
        done
    done
done

table_head "pull+create+run over the link, s" overlayfs firstlight "of which pull" \
    "MB fetched, requests" "reference: its overlayfs / not optimised" \
    "optimised: firstlight (MB fetched, requests)" "reference, optimised"
for workload in "${workloads[@]}"; do
    mine=$E2E_SNAPSHOTTER-$workload
    table "${what[$workload]}" "$(figure_of "overlayfs-$workload")" "$(figure_of "$mine")" \
        "$(figure_of "$mine-pull")" \
        "$(megabytes "$(figure_of "$mine-bytes")"), $(figure_of "$mine-requests")" \
        "${reference[$workload]}" \
        "$(figure_of "$mine-optimized") ($(megabytes "$(figure_of "$mine-optimized-bytes")"), $(figure_of "$mine-optimized-requests"))" \
        "${reference_optimized[$workload]}"
done
