#!/bin/bash
# start.sh: seconds from nothing to a program's end (pull, create, run) over a link
# of 10 ms and 200 Mbit/s, overlayfs beside firstlight, as a markdown table.
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"

bench_begin
# A snapshotter is only measured while it still has to fetch.
workloads=(echo python python-import gcc)
declare -A reference=([echo]="5.2 / 0.76" [python]="10.6 / 1.49" [python-import]="10.9 / 4.88" [gcc]="13.3 / 4.18")
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

measure() { # SNAPSHOTTER WORKLOAD
    local mark pull start command
    mapfile -t command < <(program "$2")
    bench_cold "$1"
    mark=$(registry_mark)
    pull=$(seconds image_pull "$1" "$bench_image")
    start=$(seconds run "$1" "$bench_image" bench "${command[@]}")
    figure "$1-$2-pull" "$pull"
    figure "$1-$2" "$(plus "$pull" "$start")"
    figure "$1-$2-bytes" "$(registry_bytes "$mark")"
    figure "$1-$2-requests" "$(registry_requests "$mark")"
    image_forget "$1" "$bench_image"
}

for ((round = 0; round < BENCH_ROUNDS; round++)); do
    for workload in "${workloads[@]}"; do
        for each in "${bench_sides[@]}"; do
            measure "$each" "$workload"
        done
    done
done

table_head "pull+create+run over the link, s" overlayfs firstlight "of which pull" \
    "MB fetched, requests" "reference: its overlayfs / not optimised"
for workload in "${workloads[@]}"; do
    mine=$E2E_SNAPSHOTTER-$workload
    table "${what[$workload]}" "$(figure_of "overlayfs-$workload")" "$(figure_of "$mine")" \
        "$(figure_of "$mine-pull")" \
        "$(megabytes "$(figure_of "$mine-bytes")"), $(figure_of "$mine-requests")" \
        "${reference[$workload]}"
done
