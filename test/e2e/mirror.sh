#!/bin/bash
# A caching mirror in front of the registry, of which the daemon knows by a hosts.toml
# alone, is killed while files are read through it: no read fails. A changed hosts.toml is
# used after SIGHUP, which ends nothing. Latencies before and after the death are shown;
# with FIRSTLIGHT_E2E_TIMED=1, on a machine that does nothing else, those after may be at
# most a fifth worse.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

command -v nginx >/dev/null || skip "nginx is not installed (./app/setup installs it)"
reads=1050 # a third before the death, a third after it, a third through a new mirror
e2e_begin
registry_start "$(image_ensure)"
blob_server_start

# mirror_start NAME: one process, so that a kill ends all of it. Sets mirror_host.
mirror_start() {
    local port
    port=$(free_port)
    mkdir -p "$work/$1"
    cat >"$work/$1.conf" <<NGINX
daemon off;
master_process off;
user root;
pid $work/$1/pid;
error_log stderr;
events {}
http {
    access_log $work/$1.access;
    client_body_temp_path $work/$1/body; proxy_temp_path $work/$1/proxy;
    fastcgi_temp_path $work/$1/fastcgi; uwsgi_temp_path $work/$1/uwsgi;
    scgi_temp_path $work/$1/scgi;
    proxy_cache_path $work/$1/cache keys_zone=blobs:8m;
    server {
        listen 127.0.0.1:$port;
        location / {
            proxy_pass http://$blob_host;
            proxy_set_header Host $blob_host;
            proxy_cache blobs;
            proxy_cache_key \$uri;
            proxy_cache_valid 200 1h;
            proxy_cache_lock on;
        }
    }
}
NGINX
    e2e_spawn "$1" "$work/$1.log" nginx -c "$work/$1.conf"
    mirror_host=127.0.0.1:$port
    wait_until 10 "nginx answers" answers "$mirror_host"
}
mirror_fill() { # it has all layers already
    local layer
    for layer in $(image_layers "$image"); do
        "$e2e_python" -c 'import sys, urllib.request
urllib.request.urlopen(sys.argv[1]).read()' "http://$mirror_host/v2/demo/blobs/$layer"
    done
}
asked() { grep -c 'GET /v2/demo/blobs/.*?ns=127.0.0.1' "$work/$1.access" || true; }

hosts_write() { # HOST: asked before the registry
    local directory=$work/certs.d/${blob_host/:/_}_
    mkdir -p "$directory"
    cat >"$directory/hosts.toml.new" <<TOML
server = "http://$blob_host"
[host."http://$1"]
  capabilities = ["pull", "resolve"]
TOML
    mv "$directory/hosts.toml.new" "$directory/hosts.toml"
}

mirror_start first
hosts_write "$mirror_host"
containerd_start
daemon_quiet
daemon_config_tables+="[registry]
config_path = \"$work/certs.d\"
"
daemon_start
image=$(ref esgz "$blob_host")
image_pull "$E2E_SNAPSHOTTER" "$image"
mirror_fill
rootfs_mount "$E2E_SNAPSHOTTER" "$image" "$work/tree"

# Chunks that nobody has read: one name each, of files that only one layer has.
for layer in $(image_layers "$image"); do
    estargz chunks "$(blob_path "$layer")" | awk -v layer="$layer" -v OFS='\t' '{ print layer, $0 }'
done | "$e2e_python" -c 'import os, random, sys
layers, chunks = {}, {}
for line in sys.stdin:
    fields = line.rstrip("\n").split("\t")
    if len(fields) != 7: continue # a name with a line or a tab in it
    layer, name, at, length, _, _, digest = fields
    layers.setdefault(name, set()).add(layer)
    chunks.setdefault(digest, (name, at, length, digest))
wanted = [c for c in chunks.values() if len(layers[c[0]]) == 1 and int(c[2]) > 0
          and os.path.isfile(os.path.join(sys.argv[1], c[0])) and not os.path.islink(os.path.join(sys.argv[1], c[0]))]
random.Random(1).shuffle(wanted)
print("\n".join("\t".join(c) for c in wanted[:int(sys.argv[2])]))' "$work/tree" "$reads" >"$work/chunks"
total=$(wc -l <"$work/chunks")
((total >= 90)) || fail "the image has only $total chunks to read"
third=$((total / 3))

read_lines() { "$e2e_python" "$e2e_here/read_chunks.py" "$work/tree"; }
third_read() { (($(wc -l <"$work/reads") >= third)); }
failures() { grep -vc ' ok$' "$1" || true; }
percentile() { # OF, of the times in stdin
    cut -d' ' -f1 | sort -n | awk -v p="$1" '{ v[NR] = $1 } END { i = int(NR * p / 100 + 0.999); print v[i < 1 ? 1 : i] }'
}

mark=$(asked first)
head -n $((2 * third)) "$work/chunks" | read_lines >"$work/reads" &
reader=$!
wait_until 60 "a third of the reads" third_read
killed_at=$(wc -l <"$work/reads")
e2e_stop first KILL
wait "$reader" || fail "the reader ended with $?"
check_equal "reads" $((2 * third)) "$(wc -l <"$work/reads")"
check_equal "reads that failed, the mirror killed after $killed_at" 0 "$(failures "$work/reads")"
check_between "reads still to come when it was killed" 1 "$total" $((2 * third - killed_at))
if [[ $E2E_SNAPSHOTTER == firstlight ]]; then
    check_between "requests that the mirror had answered, with ns=" $((third / 2)) 100000 $(($(asked first) - mark))
fi
before_p99=$(head -n "$killed_at" "$work/reads" | percentile 99)
after_p99=$(tail -n +$((killed_at + 1)) "$work/reads" | percentile 99)
say "ms, through the mirror: p50 $(head -n "$killed_at" "$work/reads" | percentile 50), p99 $before_p99"
say "ms, once it was killed: p50 $(tail -n +$((killed_at + 1)) "$work/reads" | percentile 50), p99 $after_p99"
if [[ ${FIRSTLIGHT_E2E_TIMED:-0} == 1 ]]; then
    check_between "p99 after, by that before" 0 1.2 \
        "$(awk -v a="$after_p99" -v b="$before_p99" 'BEGIN { printf "%.2f", a / b }')"
fi

mirror_start second
mirror_fill
hosts_write "$mirror_host"
if [[ $E2E_SNAPSHOTTER == firstlight ]]; then
    kill -HUP "$(daemon_pid)"
    wait_until 10 "the daemon takes note" grep -q 'looking up the hosts of registries anew' "$work/firstlightd.log"
fi
tail -n "$third" "$work/chunks" | read_lines >"$work/reads.new"
check_equal "reads that failed after SIGHUP" 0 "$(failures "$work/reads.new")"
if [[ $E2E_SNAPSHOTTER == firstlight ]]; then
    check "the daemon still runs" e2e_running daemon
    check_between "requests to the mirror of the new hosts.toml" $((third / 2)) 100000 "$(asked second)"
fi
rootfs_unmount "$E2E_SNAPSHOTTER" "$work/tree"
