#!/bin/bash
# The registry stops answering while processes read cold files: a killed one is gone
# at once, whatever way it reads; a signal that it handles ends a read past the page
# cache, and harms no other; and when the registry goes on, so does who still waits.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

daemon_fetching_timeout=60 # far longer than the test waits
e2e_begin
registry_start "$(image_ensure)"
containerd_start
daemon_quiet
daemon_start
image=$(ref esgz)

image_pull "$E2E_SNAPSHOTTER" "$image"
rootfs_mount "$E2E_SNAPSHOTTER" "$image" "$work/tree"
mapfile -t chunks < <(file_chunks "$image" odd/sizes/random)
file=$work/tree/odd/sizes/random
[[ $E2E_SNAPSHOTTER == firstlight ]] || skip "nothing waits for a registry with overlayfs"

registry_freeze() { kill -STOP "${e2e_pids[registry]}"; }
registry_thaw() { kill -CONT "${e2e_pids[registry]}"; }

# reader HOW CHUNK: reads that chunk's first page in the background, sets reader.
reader() {
    local at
    IFS=$'\t' read -r _ _ at _ <<<"${chunks[$2]}"
    e2e_spawn reader "$work/reader.log" "$e2e_python" "$e2e_here/patient_read.py" "$1" "$file" "$at"
    wait_for_line reader "$work/reader.log" "^reading $1 $at" >/dev/null
    sleep 0.3 # until it is deep in the kernel
    e2e_running reader || fail "the $1 read did not wait: $(tail -n 3 "$work/reader.log")"
}
# ended WHAT STATUS MS: the reader ends with that status within that time.
ended() {
    local begin status=0 pid=${e2e_pids[reader]}
    unset "e2e_pids[reader]"
    begin=$(now_ms)
    while kill -0 "$pid" 2>/dev/null; do
        (($(now_ms) - begin <= $3)) || fail "$1: the reader is still there after $3 ms"
        sleep 0.02
    done
    wait "$pid" || status=$?
    check_equal "status of $1" "$2" "$status"
}
interrupted() { metric '^firstlight_reads_interrupted_total'; }

registry_freeze
n=0
for how in cached mapped direct; do
    reader $how $((++n))
    kill -KILL "${e2e_pids[reader]}"
    ended "a killed reader ($how)" 137 1000
done
# A read of the page cache leaves its page to the kernel, so there nothing is given up.
check_between "reads given up" 2 3 "$(interrupted)"

reader direct 4
kill -INT "${e2e_pids[reader]}"
ended "a reader past the page cache, after SIGINT" 3 1000
check "it ended with EINTR" grep -q "interrupted" "$work/reader.log"

# A page fault must not end for a signal: that would be a SIGBUS.
reader mapped 5
before=$(interrupted)
kill -USR1 "${e2e_pids[reader]}"
sleep 0.5
check "a page fault outlasts a signal" e2e_running reader
check_equal "reads given up for it" "$before" "$(interrupted)"
kill -KILL "${e2e_pids[reader]}"
ended "the same reader, killed later" 137 1000

reader mapped 6
kill -USR1 "${e2e_pids[reader]}"
registry_thaw
ended "a reader who had a signal, with the registry back" 0 20000
check "it handled its signal" grep -q "^signal" "$work/reader.log"
for n in 1 2 3 4 5 6; do
    IFS=$'\t' read -r _ _ at length _ _ digest <<<"${chunks[$n]}"
    check_equal "chunk $n, with the registry back" "${digest#sha256:}" \
        "$(cold_read "$file" "$at" "$length" | cut -d' ' -f2)"
done
check_equal "chunks that the log calls failed" 0 "$(daemon_log | grep -c 'cannot fetch chunks' || true)"

registry_freeze
reader mapped 7
begin=$(now_ms)
daemon_stop
check_between "ms that the daemon took to stop under a waiting read" 0 5000 $(($(now_ms) - begin))
registry_thaw
