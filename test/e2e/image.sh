#!/bin/bash
# image.sh small|demo|full: prints a directory with a registry's storage that holds the
# image demo:plain (gzip layers) and demo:esgz (the same, as eStargz). Made once.
# shellcheck source=test/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
e2e_without_daemon=1

size=${1:-small}
sets=(base)
packages_base="busybox-static"
chunk=$((256 * 1024))
if [[ $size != small ]]; then
    sets=(base python)
    [[ $size == demo ]] || sets+=(compilers)
    packages_base="base-files bash coreutils dash libc-bin sed grep mawk findutils tar gzip
        util-linux debianutils hostname login passwd"
    packages_python="python3 python3-sqlalchemy python3-yaml python3-requests"
    packages_compilers="gcc libc6-dev clang llvm"
    chunk=0 # the converter's default, 4 MiB
fi

# The name says all that goes into it: a change makes a new one.
version=$(cat "$e2e_here/make_image.py" "$e2e_here/image.sh" | sha256sum | cut -c1-12)
image=$FIRSTLIGHT_E2E_DIR/image-$size-$version

# fetch_packages DIR: one directory of .deb files per set, with all they depend on,
# each package in the first set that needs it.
fetch_packages() {
    local set deb wanted="" option=(-o APT::Sandbox::User=root -o Dir::State::status=/dev/null
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1
        -o APT::Install-Recommends=false)
    mkdir -p "$1/seen"
    for set in "${sets[@]}"; do
        local name=packages_$set
        wanted+=" ${!name}"
        mkdir -p "$1/all/partial" "$1/$set"
        # shellcheck disable=SC2086 # a list of names
        apt-get -qq -y "${option[@]}" -o "Dir::Cache::archives=$1/all/" --download-only \
            install $wanted >"$work/apt.log" 2>&1 ||
            { cat "$work/apt.log" >&2; fail "fetching packages (did apt-get update run?)"; }
        for deb in "$1"/all/*.deb; do
            [[ -e $1/seen/${deb##*/} ]] && continue
            ln "$deb" "$1/$set/"
            ln "$deb" "$1/seen/"
        done
    done
}

build() {
    fetch_packages "$work/debs"
    if [[ $size == small ]]; then
        dpkg-deb -x "$work"/debs/base/busybox-static*.deb "$work/busybox"
        find "$work/busybox" -type f -name busybox -exec mv {} "$work/debs/base/busybox" \;
    fi
    "$e2e_python" "$e2e_here/make_image.py" "$size" "$work/oci" "$work/debs" >&2
    registry_start
    containerd_start
    skopeo copy --quiet --dest-tls-verify=false "oci:$work/oci:image" "docker://$(ref plain)"
    ctr content fetch --plain-http "$(ref plain)" >/dev/null
    ctr_remote image convert --estargz --oci --estargz-chunk-size "$chunk" \
        "$(ref plain)" "$(ref esgz)" >/dev/null
    ctr image push --plain-http "$(ref esgz)" >/dev/null
    containerd_stop
    registry_stop
}

mkdir -p "$FIRSTLIGHT_E2E_DIR"
exec 9>"$FIRSTLIGHT_E2E_DIR/image-$size.lock"
flock 9
if [[ ! -d $image ]]; then
    e2e_begin
    say "building the $size image, once, into $image" >&2
    build 9>&- >&2
    mv "$work/registry" "$image.new"
    mv "$image.new" "$image"
fi
echo "$image"
