#!/bin/bash
# An image of a private registry, pulled as kubelet does: over CRI, with credentials that
# nobody else knows, through the daemon's socket.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

: "${CRI_PULL:=$FIRSTLIGHT_BUILD_DIR/test/e2e/cri_pull}"
[[ $E2E_SNAPSHOTTER == firstlight ]] || skip "it is about the daemon"
[[ -x $CRI_PULL ]] || skip "$CRI_PULL is not there"

ctr() { command ctr --address "$work/c/containerd.sock" --namespace k8s.io "$@"; }
pull_socket=
pull() { # IMAGE [USER PASSWORD]
    "$CRI_PULL" "$pull_socket" "$1" ${2:+"$2"} <<<"${3-}" >"$work/pull.log" 2>&1
}
not() { ! "$@"; }
reads() { # FILE: all of it
    cat "$work/tree/$1" >"$work/read" 2>"$work/read.log"
}

secret=hunter2+5f3a # nowhere in the image
e2e_begin
"$e2e_python" -W ignore -c 'import crypt, sys
print("me:" + crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' "$secret" >"$work/htpasswd"
registry_more="auth: {htpasswd: {realm: private, path: $work/htpasswd}}"
containerd_disabled=
containerd_more='[plugins."io.containerd.grpc.v1.cri"]
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "firstlight"
  disable_snapshot_annotations = false'
daemon_quiet
daemon_config_tables+="[cri_keychain]
enable_keychain = true
image_service_path = \"$work/c/containerd.sock\"
"
pull_socket=$work/firstlightd.sock
mkdir "$work/docker"
export DOCKER_CONFIG=$work/docker

registry_start "$(image_ensure)"
containerd_start
daemon_start
image=$(ref esgz)

say "--- pulls"
check "without credentials it cannot be pulled" not pull "$image"
check "nor with others" not pull "$image" me wrong
check "it can with the right ones" pull "$image" me "$secret"
mapfile -t layers < <(image_layers "$image")
prepared=$(daemon_log | grep -c '"remote-snapshot-prepared":"true"' || true)
check_equal "layers prepared remotely" "${#layers[@]}" "$prepared"
check_equal "a container runs" "upper hello" "$(run firstlight "$image" hello cat /etc/hello)"
check "no secret is in the log" not grep -qF "$secret" "$work/firstlightd.log"
check "nor in a file of ours" not grep -rqF --exclude-dir=m "$secret" "$work/fl"

say "--- after a restart, with a socket for pulls alone"
daemon_config_tables+="listen_path = \"$work/cri.sock\"
"
rootfs_mount firstlight "$image" "$work/tree"
umount "$work/tree"
daemon_kill
daemon_start
sh "$work/mount.sh"
check "what is cached is there" reads etc/hello
check "the rest is not: nobody has told us again" not reads odd/sizes/chunk
say "$(cat "$work/read.log")"
check "at the other socket nobody pulls" not pull "$image" me "$secret"
pull_socket=$work/cri.sock
check "kubelet pulls again" pull "$image" me "$secret"
check "now it is" reads odd/sizes/chunk

say "--- after another, with docker's config.json as well"
umount "$work/tree"
daemon_kill
printf '{"auths": {"%s": {"auth": "%s"}}}' "$registry_host" "$(printf "me:%s" "$secret" | base64)" \
    >"$work/docker/config.json"
daemon_start
sh "$work/mount.sh"
check "it is at once" reads odd/sizes/three
umount "$work/tree"
