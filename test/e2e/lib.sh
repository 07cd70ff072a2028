# shellcheck shell=bash
# What the end-to-end tests, the benchmarks and the demo share: a registry, a
# containerd, a link and the daemon, each private to one run, on free ports,
# under one temporary directory, and ended by the trap that e2e_begin sets.
#
# Environment:
#   FIRSTLIGHT_E2E_DIR    where runs and cached images live; overlayfs must work
#                         there (default /var/tmp/firstlight-e2e)
#   FIRSTLIGHT_BUILD_DIR  the build to test (default build/release)
#   FIRSTLIGHTD           the daemon (default $FIRSTLIGHT_BUILD_DIR/app/firstlightd)
#   LINKPROXY             the link (default $FIRSTLIGHT_BUILD_DIR/test/link/linkproxy)
#   FIRSTLIGHT_E2E_FULL   1: the image of over 200 MB instead of the small one
#   FIRSTLIGHT_E2E_KEEP   1: leave the run's directory, after a failure to look into
#   E2E_SNAPSHOTTER       firstlight, or overlayfs to try the harness itself

set -euo pipefail

# runc turns / private, which must be a mount point for that. The root of a chroot is
# none: then the script starts again in a mount namespace of its own, where it is. (It is
# put into /proc, whose mount can be made private, so that nothing of it gets out.)
if ((EUID == 0)) && ! grep -q '^[0-9]* [0-9]* [^ ]* [^ ]* / ' /proc/self/mountinfo; then
    # shellcheck disable=SC2016 # for the inner shell
    exec unshare --mount --propagation unchanged "$BASH" -c \
        'mount --make-private /proc && mount --rbind / "$0" && mount --make-rprivate "$0" &&
            cd "$0" && exec chroot . "$@"' \
        /proc/tty "$BASH" "$(realpath "$0")" "$@"
fi

e2e_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
e2e_root=$(cd "$e2e_here/../.." && pwd)
: "${FIRSTLIGHT_E2E_DIR:=/var/tmp/firstlight-e2e}"
: "${FIRSTLIGHT_BUILD_DIR:=$e2e_root/build/release}"
: "${FIRSTLIGHTD:=$FIRSTLIGHT_BUILD_DIR/app/firstlightd}"
: "${LINKPROXY:=$FIRSTLIGHT_BUILD_DIR/test/link/linkproxy}"
: "${FIRSTLIGHT_E2E_FULL:=0}"
: "${FIRSTLIGHT_E2E_KEEP:=0}"
: "${E2E_SNAPSHOTTER:=firstlight}"
export FIRSTLIGHT_E2E_DIR FIRSTLIGHT_BUILD_DIR FIRSTLIGHTD LINKPROXY

e2e_python=/usr/bin/python3 # Debian's: it knows the packages' bytecode version
work=                # this run's directory
declare -A e2e_pids=() # name -> process we started
registry_host=
blob_host= # of what link_start leads to, if that is not the registry
link_host=
metrics_host=
# ctr takes the config directory of the user otherwise.
export OTEL_TRACES_EXPORTER=none
# fsconfig(2), which newer util-linux mounts by, takes no option of more than 256 bytes;
# a long list of layers is one.
export LIBMOUNT_FORCE_MOUNT2=always

# --- results ---------------------------------------------------------------

say() { printf '%s\n' "$*"; }
ok() { printf 'ok: %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}
skip() {
    printf 'skipped: %s\n' "$*" >&2
    exit 77
}
# check WHAT COMMAND...: the command must succeed.
check() {
    local what=$1
    shift
    "$@" || fail "$what ($*)"
    ok "$what"
}
# check_equal WHAT EXPECTED ACTUAL
check_equal() {
    [[ $2 == "$3" ]] || fail "$1: expected \"$2\", got \"$3\""
    ok "$1: $3"
}
# check_between WHAT LOW HIGH NUMBER: bounds included; decimals allowed.
check_between() {
    awk -v l="$2" -v h="$3" -v n="$4" 'BEGIN { exit !(n != "" && n + 0 >= l + 0 && n + 0 <= h + 0) }' ||
        fail "$1: $4 is not within $2 and $3"
    ok "$1: $4 (within $2 and $3)"
}

# --- one run ---------------------------------------------------------------

# e2e_begin: checks what is needed, makes $work, sets the traps.
e2e_begin() {
    e2e_require
    mkdir -p "$FIRSTLIGHT_E2E_DIR"
    # Unix socket paths end at 107 bytes; containerd appends ".ttrpc" to ours.
    ((${#FIRSTLIGHT_E2E_DIR} <= 60)) ||
        fail "FIRSTLIGHT_E2E_DIR is too long for socket paths below it: $FIRSTLIGHT_E2E_DIR"
    work=$(mktemp -d "$FIRSTLIGHT_E2E_DIR/run.XXXXXX")
    trap e2e_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    e2e_require_overlay
}

e2e_require() {
    ((EUID == 0)) || skip "needs root"
    [[ -c /dev/fuse ]] || skip "no /dev/fuse"
    local tool
    for tool in containerd ctr ctr-remote docker-registry runc skopeo "$e2e_python"; do
        command -v "$tool" >/dev/null || skip "$tool is not installed (./app/setup installs it)"
    done
    if [[ $E2E_SNAPSHOTTER == firstlight && ${e2e_without_daemon:-0} == 0 ]]; then
        [[ -x $FIRSTLIGHTD ]] || skip "$FIRSTLIGHTD is not built"
    fi
}

e2e_require_overlay() {
    mkdir "$work"/{l,u,w,m}
    mount -t overlay -o "lowerdir=$work/l,upperdir=$work/u,workdir=$work/w" overlay "$work/m" ||
        skip "overlayfs does not work under $FIRSTLIGHT_E2E_DIR: set FIRSTLIGHT_E2E_DIR elsewhere"
    umount "$work/m"
    rm -rf "$work"/{l,u,w,m}
}

# The trap: ends what this run started, and only that.
e2e_end() {
    local status=$?
    trap - EXIT
    trap '' INT TERM
    set +e
    ((status == 0 || status == 77)) || e2e_show_logs >&2
    e2e_end_containers
    local name
    for name in link daemon containerd registry; do
        e2e_stop "$name" 2>/dev/null
    done
    for name in "${!e2e_pids[@]}"; do
        e2e_stop "$name" 2>/dev/null
    done
    e2e_unmount_all
    if [[ $FIRSTLIGHT_E2E_KEEP == 1 ]]; then
        say "kept: $work" >&2
    else
        rm -rf --one-file-system "$work"
    fi
    exit "$status"
}

e2e_show_logs() {
    local log
    for log in "$work"/firstlightd*.log "$work"/containerd.log; do
        [[ -s $log ]] || continue
        say "--- last lines of ${log##*/} ---"
        tail -n 25 "$log" | cut -c1-400
    done
}

# Containers, and shims whose containerd is gone: a shim's command line names our socket.
e2e_end_containers() {
    if [[ -S $work/c/containerd.sock && -n ${e2e_pids[containerd]:-} ]]; then
        local id
        for id in $(ctr_within 10 task ls -q); do
            ctr_within 10 task kill -s KILL "$id"
            ctr_within 10 task rm -f "$id"
        done >/dev/null 2>&1
    fi
    local process
    for process in $(grep -lF -- "$work/c/containerd.sock" /proc/[0-9]*/cmdline 2>/dev/null); do
        process=${process%/cmdline}
        grep -q '^containerd-shim' "$process/comm" 2>/dev/null && kill -KILL "${process#/proc/}"
    done
}

e2e_mounts() { # mount points under the run's directory, deepest first
    awk -v under="$work/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | tac
}

e2e_unmount_all() {
    local point
    while read -r point; do
        umount "$point" 2>/dev/null || umount -l "$point"
    done < <(e2e_mounts)
}

# --- processes -------------------------------------------------------------

# e2e_spawn NAME LOG COMMAND...: starts it in the background and remembers it.
e2e_spawn() {
    local name=$1 log=$2
    shift 2
    "$@" </dev/null >>"$log" 2>&1 &
    e2e_pids[$name]=$!
}

e2e_running() { [[ -n ${e2e_pids[$1]:-} ]] && kill -0 "${e2e_pids[$1]}" 2>/dev/null; }

# e2e_stop NAME [SIGNAL]: ends it and waits for it; SIGKILL after ten seconds.
e2e_stop() {
    local pid=${e2e_pids[$1]:-} i
    [[ -n $pid ]] || return 0
    unset "e2e_pids[$1]"
    kill -"${2:-TERM}" "$pid" 2>/dev/null || true
    for ((i = 0; i < 200; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

# wait_until SECONDS WHAT COMMAND...: polls; fails naming WHAT.
wait_until() {
    local seconds=$1 what=$2 end
    shift 2
    end=$(($(date +%s%N) + seconds * 1000000000))
    until "$@" >/dev/null 2>&1; do
        (($(date +%s%N) < end)) || fail "not within $seconds s: $what"
        sleep 0.05
    done
}

# wait_for_line NAME LOG PATTERN: prints the first matching line of a process's log.
wait_for_line() {
    local i
    for ((i = 0; i < 600; i++)); do
        grep -m1 -E -- "$3" "$2" 2>/dev/null && return 0
        e2e_running "$1" || break
        sleep 0.05
    done
    tail -n 20 "$2" >&2 || true
    fail "$1 did not start: no \"$3\" in $2"
}

free_port() {
    "$e2e_python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

now_ms() { date +%s%3N; }
# pages: 1 drops the page cache; 3 directory entries and inodes as well
drop_caches() {
    sync
    echo "${1:-1}" >/proc/sys/vm/drop_caches
}

# --- registry --------------------------------------------------------------

# registry_start [STORAGE]: a registry on loopback, sets registry_host. STORAGE is
# copied by hard links, so a test that damages a blob must break the link first.
registry_more= # lines of its configuration
registry_start() {
    local port=0
    [[ -z $registry_host ]] || port=${registry_host##*:} # started before: the same port again
    mkdir -p "$work/registry"
    [[ $# -eq 0 || -d $work/registry/docker ]] || cp -al "$1/." "$work/registry/"
    cat >"$work/registry.yml" <<YML
version: 0.1
log: {level: info, formatter: json, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port"}
$registry_more
YML
    touch "$work/registry.log"
    local from
    from=$(stat -c %s "$work/registry.log")
    e2e_spawn registry "$work/registry.log" docker-registry serve "$work/registry.yml"
    registry_host=$(registry_listening "$from")
}

# registry_listening FROM: the address in the log behind byte FROM.
registry_listening() {
    local i address
    for ((i = 0; i < 600; i++)); do
        address=$(tail -c "+$(($1 + 1))" "$work/registry.log" |
            grep -o -m1 'listening on 127.0.0.1:[0-9]*' || true)
        [[ -z $address ]] || { echo "${address#listening on }"; return 0; }
        e2e_running registry || break
        sleep 0.05
    done
    tail -n 5 "$work/registry.log" >&2
    fail "docker-registry did not start"
}

registry_stop() { e2e_stop registry; }

registry_mark() { # a point in the log to count from
    registry_settle
    stat -c %s "$work/registry.log"
}

# The log line of a response is written after its last byte: wait until none comes.
registry_settle() {
    local before=-1 size
    size=$(stat -c %s "$work/registry.log")
    while [[ $size != "$before" ]]; do
        before=$size
        sleep 0.15
        size=$(stat -c %s "$work/registry.log")
    done
}

# registry_since MARK [PATTERN]: the JSON log lines of finished requests for blobs.
registry_since() {
    registry_settle
    tail -c "+$(($1 + 1))" "$work/registry.log" | grep '"msg":"response completed' |
        grep -E -- "${2:-/blobs/}" || true
}
registry_requests() { registry_since "$@" | wc -l; }
registry_bytes() {
    registry_since "$@" | grep -o '"http.response.written":[0-9]*' |
        awk -F: '{ n += $2 } END { print n + 0 }'
}

# blob_own DIGEST: gives this run a copy of the blob that it may damage.
blob_own() {
    local path
    path=$(blob_path "$1")
    cp "$path" "$path.own"
    mv "$path.own" "$path"
}

# blob_path DIGEST: the blob's file in this run's registry.
blob_path() { echo "$work/registry/docker/registry/v2/blobs/sha256/${1:7:2}/${1#sha256:}/data"; }

# --- link ------------------------------------------------------------------

# link_start OPTION...: a link in front of the registry, sets link_host.
link_start() {
    [[ -x $LINKPROXY ]] || skip "$LINKPROXY is not built"
    : >"$work/link.log"
    e2e_spawn link "$work/link.log" "$LINKPROXY" --to "${blob_host:-$registry_host}" \
        --request-log "$work/link-requests.log" "$@"
    link_host=$(wait_for_line link "$work/link.log" '^listening ')
    link_host=${link_host#listening }
}
link_stop() { e2e_stop link; }
# link_bytes: those that it has brought to this side so far, of the counters that it
# prints when asked.
link_bytes() {
    local lines
    lines=$(grep -c bytes_down "$work/link.log" || true)
    kill -USR1 "${e2e_pids[link]}"
    wait_until 5 "the link's counters" link_counters_after "$lines"
    grep -o '"bytes_down":[0-9]*' "$work/link.log" | tail -n 1 | cut -d: -f2
}
link_counters_after() { (($(grep -c bytes_down "$work/link.log") > $1)); }

# blob_server_start: nginx in front of the registry, serves blobs from its storage and
# leaves the rest to it, as registries do that keep blobs in an object store. Debian's
# registry spends 6 ms of a processor on each request for a blob, which a clock that
# shares its two processors would count. For link_start; the registry's log does not
# see those requests, the link's does.
blob_server_start() {
    local port storage=$work/registry/docker/registry/v2
    port=$(free_port)
    mkdir -p "$work/nginx"
    cat >"$work/nginx.conf" <<NGINX
daemon off;
user root;
worker_processes 1;
pid $work/nginx/pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path $work/nginx/body; proxy_temp_path $work/nginx/proxy;
    fastcgi_temp_path $work/nginx/fastcgi; uwsgi_temp_path $work/nginx/uwsgi;
    scgi_temp_path $work/nginx/scgi;
    server {
        listen 127.0.0.1:$port;
        location / { proxy_pass http://$registry_host; proxy_set_header Host \$http_host; }
        location ~ "^/v2/.*/blobs/sha256:(..)(\w+)\$" { alias $storage/blobs/sha256/\$1/\$1\$2/data; }
    }
}
NGINX
    e2e_spawn blobs "$work/nginx.log" nginx -c "$work/nginx.conf"
    blob_host=127.0.0.1:$port
    wait_until 10 "nginx answers" answers "$blob_host"
}
answers() { # HOST: a registry's API is there
    "$e2e_python" -c 'import sys, urllib.request
urllib.request.urlopen(sys.argv[1])' "http://$1/v2/"
}

# --- containerd ------------------------------------------------------------

containerd_more= # lines of its configuration
containerd_disabled='"io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt",'
containerd_start() {
    mkdir -p "$work/c"
    cat >"$work/containerd.toml" <<TOML
version = 2
root = "$work/c/root"
state = "$work/c/state"
disabled_plugins = [
  $containerd_disabled
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.nri.v1.nri", "io.containerd.internal.v1.restart",
]
[grpc]
  address = "$work/c/containerd.sock"
[debug]
  level = "debug"
[proxy_plugins.firstlight]
  type = "snapshot"
  address = "$work/firstlightd.sock"
$containerd_more
TOML
    e2e_spawn containerd "$work/containerd.log" containerd --config "$work/containerd.toml"
    wait_for_line containerd "$work/containerd.log" 'containerd successfully booted' >/dev/null
}
containerd_stop() {
    e2e_end_containers
    e2e_stop containerd
}

ctr() { command ctr --address "$work/c/containerd.sock" --namespace e2e "$@"; }
ctr_within() { # SECONDS ARGUMENT...
    timeout "$1" ctr --address "$work/c/containerd.sock" --namespace e2e "${@:2}"
}
ctr_remote() { command ctr-remote --address "$work/c/containerd.sock" --namespace e2e "$@"; }

# --- the daemon ------------------------------------------------------------

# Extra lines for the daemon's config, before its tables and after them.
daemon_config_top=
daemon_config_tables=
: "${daemon_fetching_timeout:=10}"

daemon_config() {
    cat <<TOML
metrics_address = "$metrics_host"
$daemon_config_top
[blob]
fetching_timeout_sec = $daemon_fetching_timeout
max_retries = 3
[resolver]
request_timeout_sec = $daemon_fetching_timeout
$daemon_config_tables
TOML
}

# Nothing is fetched before somebody reads.
daemon_idle() { daemon_config_top+=$'noprefetch = true\nno_background_fetch = true\n'; }
# Only what is read is fetched: for tests that count requests.
daemon_quiet() {
    daemon_idle
    daemon_config_tables+=$'[read]\nreadahead_bytes = 0\n'
}

daemon_start() {
    [[ $E2E_SNAPSHOTTER == firstlight ]] || return 0
    [[ -n $metrics_host ]] || metrics_host=127.0.0.1:$(free_port)
    daemon_config >"$work/firstlightd.toml"
    e2e_spawn daemon "$work/firstlightd.log" "$FIRSTLIGHTD" --config "$work/firstlightd.toml" \
        --address "$work/firstlightd.sock" --root "$work/fl" --log-level debug
    local end=$((SECONDS + 20))
    until daemon_answers; do
        e2e_running daemon || fail "firstlightd ended at its start"
        ((SECONDS < end)) || fail "firstlightd did not answer within 20 s"
        sleep 0.05
    done
}
# Asked through containerd where it runs: its connection backs off for seconds after
# a daemon died, and what follows should not have to wait for that. Only what changes
# something gets as far as the daemon.
daemon_answers() {
    [[ -S $work/firstlightd.sock ]] || return 1
    [[ -n ${e2e_pids[containerd]:-} ]] || return 0
    ctr_within 5 snapshots --snapshotter firstlight prepare e2e-probe >/dev/null 2>&1 &&
        ctr_within 5 snapshots --snapshotter firstlight rm e2e-probe >/dev/null 2>&1
}
daemon_stop() { e2e_stop daemon; }
daemon_kill() { e2e_stop daemon KILL; }
daemon_pid() { echo "${e2e_pids[daemon]}"; }

daemon_log() { cat "$work"/firstlightd.log; }
metrics() { # all of the daemon's
    "$e2e_python" -c 'import sys, urllib.request as u
sys.stdout.write(u.urlopen(sys.argv[1], timeout=10).read().decode())' "http://$metrics_host/metrics"
}
# metric PATTERN [FACTOR]: the sum of the samples whose name and labels match, times that.
metric() { metrics | metric_in "$@"; }
# metric_in PATTERN [FACTOR]: the same, of what metrics has printed.
metric_in() {
    grep -v '^#' | grep -E -- "$1" |
        awk -v factor="${2:-1}" '{ n += $NF } END { printf "%.0f\n", n * factor }'
}

# --- images ----------------------------------------------------------------

image_size() { if [[ $FIRSTLIGHT_E2E_FULL == 1 ]]; then echo full; else echo small; fi; }

# image_ensure [small|full]: builds and converts it once; prints its directory.
image_ensure() {
    env -u e2e_without_daemon "$e2e_here/image.sh" "${1:-$(image_size)}"
}

# Reference of a tag (esgz, plain) at the registry, or at the link.
ref() { echo "${2:-$registry_host}/demo:$1"; }

# image_pull SNAPSHOTTER REF: lazily where the snapshotter can.
image_pull() {
    if [[ $1 == overlayfs ]]; then
        ctr image pull --plain-http --snapshotter overlayfs "$2" >"$work/pull.log" 2>&1
    else
        ctr_remote image rpull --plain-http --snapshotter "$1" "$2" >"$work/pull.log" 2>&1
    fi || { cat "$work/pull.log" >&2; fail "pulling $2 into $1"; }
}

image_forget() { # image_forget SNAPSHOTTER REF: and what was unpacked of it
    ctr image rm --sync "$2" >/dev/null
    wait_until 20 "snapshots of $2 to be removed from $1" no_snapshots "$1"
}
no_snapshots() { [[ $(ctr snapshots --snapshotter "$1" ls | tail -n +2 | wc -l) == 0 ]]; }

# image_manifest REF: the manifest of the image for this machine, as JSON.
image_manifest() {
    local digest inner
    digest=$(ctr image ls "name==$1" | awk 'NR == 2 { print $3 }')
    inner=$(ctr content get "$digest" | "$e2e_python" -c 'import json, sys
for m in json.load(sys.stdin).get("manifests", []):
    platform = m.get("platform", {})
    if (platform.get("os"), platform.get("architecture")) == ("linux", sys.argv[1]):
        print(m["digest"])
        break' "$(dpkg --print-architecture)")
    ctr content get "${inner:-$digest}"
}
image_layers() { image_manifest "$1" | "$e2e_python" -c 'import json, sys
for layer in json.load(sys.stdin)["layers"]: print(layer["digest"])'; }
image_bytes() { image_manifest "$1" | "$e2e_python" -c 'import json, sys
print(sum(layer["size"] for layer in json.load(sys.stdin)["layers"]))'; }

# image_chains REF: the chain id of each layer, lowest first.
image_chains() {
    local config
    config=$(image_manifest "$1" | "$e2e_python" -c 'import json, sys; print(json.load(sys.stdin)["config"]["digest"])')
    ctr content get "$config" | "$e2e_python" -c 'import hashlib, json, sys
chain = ""
for diff in json.load(sys.stdin)["rootfs"]["diff_ids"]:
    chain = diff if not chain else "sha256:" + hashlib.sha256((chain + " " + diff).encode()).hexdigest()
    print(chain)'
}

# prepare_time FROM: from the first Prepare to the call that follows the last one, in ms, by
# containerd's log behind byte FROM: fetching the manifest and the config is not the
# snapshotter's.
prepare_time() {
    tail -c "+$(($1 + 1))" "$work/containerd.log" | "$e2e_python" -c 'import datetime, re, sys
first = last = None
for line in sys.stdin:
    found = re.match(r"time=\"([^.\"]+)\.(\d+)Z?[^\"]*\" .*msg=\"(prepare|stat) snapshot\"", line)
    if not found: continue
    whole = datetime.datetime.fromisoformat(found[1]).timestamp() * 1000
    when = whole + float("0." + found[2]) * 1000
    if found[3] == "prepare" and first is None: first = when
    if found[3] == "stat" and first is not None: last = when
print(f"{last - first:.1f}" if first and last else "")'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# rootfs_mount SNAPSHOTTER REF DIR: a writable tree of the image, as a container has.
rootfs_mount() {
    local chain
    chain=$(image_chains "$2" | tail -n 1)
    mkdir -p "$3"
    ctr snapshots --snapshotter "$1" prepare --target "$3" "rootfs-${3##*/}" "$chain" >"$work/mount.sh"
    sh "$work/mount.sh"
}
rootfs_unmount() { # SNAPSHOTTER DIR
    umount "$2"
    ctr snapshots --snapshotter "$1" rm "rootfs-${2##*/}"
}

# The files that make a layer eStargz (its TOC and landmarks) are no part of the image:
# an eager snapshotter extracts them with the rest, a lazy one does not show them.
tree_manifest() {
    "$e2e_python" "$e2e_here/tree_manifest.py" "$1" --implied implicit |
        grep -vE "^'(stargz\.index\.json|\.(no\.)?prefetch\.landmark)' file "
}
estargz() { "$e2e_python" "$e2e_here/estargz.py" "$@"; }

cold_read() { "$e2e_python" "$e2e_here/cold_read.py" "$@"; }

# file_chunks REF NAME: layer, file, offset in it, length, blob range, digest; per chunk.
file_chunks() {
    local layer
    for layer in $(image_layers "$1"); do
        estargz chunks "$(blob_path "$layer")" |
            awk -F'\t' -v name="$2" -v layer="$layer" -v OFS='\t' '$1 == name { print layer, $0 }'
    done
}

# run SNAPSHOTTER REF ID COMMAND...: a container in the foreground, removed after.
run() {
    local snapshotter=$1 image=$2 id=$3
    shift 3
    ctr run --rm --snapshotter "$snapshotter" -- "$image" "$id" "$@"
}
