#!/usr/bin/python3
"""Writes the images the end-to-end tests run on, as an OCI layout.

  make_image.py small OUT DEBS    a few MB: busybox, oddities, changes
  make_image.py demo  OUT DEBS    some 60 MB: Debian, python, oddities, changes
  make_image.py full  OUT DEBS    over 200 MB: Debian, python, clang, oddities, changes

DEBS is a directory with one sub-directory of .deb files per layer made of
packages (fetched by image.sh). Everything is reproducible: fixed times, seeded
random bytes, sorted entries; packages keep the times they have.
"""

import gzip
import hashlib
import importlib._bootstrap_external as pyc
import importlib.util
import io
import json
import os
import random
import subprocess
import sys
import tarfile

EPOCH = 1_700_000_000
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class Layer:
    """One layer's tar, written as gzip; entries in the order they are added."""

    def __init__(self, path):
        self.path = path
        self.raw = open(path, "wb")
        self.zip = gzip.GzipFile(filename="", mode="wb", compresslevel=5, fileobj=self.raw, mtime=0)
        self.digest = hashlib.sha256()
        self.tar = tarfile.open(fileobj=self, mode="w|", format=tarfile.PAX_FORMAT)
        self.seen = set()
        self.dir("./", mtime=EPOCH)

    def write(self, data):
        self.digest.update(data)
        return self.zip.write(data)

    def entry(self, name, kind, data=b"", mode=0o644, uid=0, gid=0, mtime=EPOCH, link="",
              xattrs=None, dev=(0, 0)):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid = kind, mode, uid, gid
        info.mtime, info.linkname, info.size = mtime, link, len(data)
        info.devmajor, info.devminor = dev
        for key, value in (xattrs or {}).items():
            info.pax_headers["SCHILY.xattr." + key] = value
        self.tar.addfile(info, io.BytesIO(data))
        self.seen.add(name.strip("./"))

    def dir(self, name, mode=0o755, **more):
        self.entry(name, tarfile.DIRTYPE, mode=mode, **more)

    def file(self, name, data=b"", **more):
        self.entry(name, tarfile.REGTYPE, data, **more)

    def symlink(self, name, target, **more):
        self.entry(name, tarfile.SYMTYPE, link=target, mode=0o777, **more)

    def hardlink(self, name, target, **more):
        self.entry(name, tarfile.LNKTYPE, link=target, **more)

    def whiteout(self, name):
        head, tail = os.path.split(name)
        self.file(os.path.join(head, ".wh." + tail))

    def opaque(self, name):
        self.file(os.path.join(name, ".wh..wh..opq"))

    def close(self):
        self.tar.close()
        self.zip.close()
        self.raw.close()
        return "sha256:" + self.digest.hexdigest()


def noise(size, seed):
    """Bytes that do not compress, the same each time."""
    return random.Random(seed).randbytes(size)


# --- packages --------------------------------------------------------------

def merged(name):
    """A package's path on a system whose /bin, /lib, … are links into /usr."""
    name = name.lstrip("./")
    top = name.split("/", 1)[0]
    return "usr/" + name if top in MERGED else name


def add_package(layer, deb, compiled):
    reader = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    with tarfile.open(fileobj=reader.stdout, mode="r|") as tar:
        for info in tar:
            plain = info.name.lstrip("./")
            if not plain or (plain in MERGED):
                continue
            info.name = merged(info.name)
            if info.name in layer.seen and info.isdir():
                continue
            if info.islnk():
                info.linkname = merged(info.linkname)
            info.mtime = int(info.mtime)
            info.pax_headers = {}
            body = tar.extractfile(info).read() if info.isreg() else b""
            layer.tar.addfile(info, io.BytesIO(body))
            layer.seen.add(info.name)
            if compiled and info.isreg() and info.name.endswith(".py"):
                add_bytecode(layer, info, body)
    if reader.wait() != 0:
        sys.exit(f"make_image.py: dpkg-deb could not read {deb}; remove it and try again")


def add_bytecode(layer, source, body):
    """What the package's postinst would have compiled."""
    if not source.name.startswith("usr/lib/python3"):
        return
    try:
        code = compile(body, "/" + source.name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return
    head, tail = os.path.split(source.name)
    cache = os.path.join(head, "__pycache__")
    if cache not in layer.seen:
        layer.dir(cache)
    name = os.path.join(cache, f"{tail[:-3]}.{sys.implementation.cache_tag}.pyc")
    layer.file(name, pyc._code_to_timestamp_pyc(code, source.mtime, len(body)))


def add_packages(layer, folder, compiled=False):
    for deb in sorted(os.listdir(folder)):
        if deb.endswith(".deb"):
            add_package(layer, os.path.join(folder, deb), compiled)


def base_layer(path, debs):
    layer = Layer(path)
    for name in ("usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        layer.dir(name)
    for name in ("bin", "sbin", "lib", "lib64"):
        layer.symlink(name, "usr/" + name)
    add_skeleton(layer)
    add_packages(layer, os.path.join(debs, "base"))
    if "usr/bin/sh" not in layer.seen:
        layer.symlink("usr/bin/sh", "dash")
    return layer.close()


def add_skeleton(layer):
    for name in ("dev", "etc", "proc", "root", "run", "sys", "var"):
        layer.dir(name, mode=0o700 if name == "root" else 0o755)
    layer.dir("tmp", mode=0o1777)
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    layer.file("etc/group", b"root:x:0:\n")
    layer.file("etc/hello", b"lower hello\n")


def package_layer(path, folder, compiled):
    layer = Layer(path)
    add_packages(layer, folder, compiled)
    return layer.close()


def busybox_layer(path, debs):
    layer = Layer(path)
    for name in ("bin", "lib", "usr"):
        layer.dir(name)
    add_skeleton(layer)
    folder = os.path.join(debs, "base")
    with open(os.path.join(folder, "busybox"), "rb") as program:
        layer.file("bin/busybox", program.read(), mode=0o755)
    for applet in ("sh", "cat", "ls", "echo", "dd", "find", "tar", "sleep", "touch", "mkdir", "rm",
                   "md5sum", "stat", "chmod", "mv", "id", "tail", "test", "sync"):
        layer.symlink("bin/" + applet, "busybox")
    return layer.close()


# --- oddities --------------------------------------------------------------

def odd_layer(path, size):
    """Everything a layer may hold that a careless implementation gets wrong."""
    layer = Layer(path)
    layer.dir("odd")
    odd_links(layer)
    odd_modes(layer)
    odd_nodes(layer)
    odd_names(layer)
    odd_times_and_owners(layer)
    odd_sizes(layer, size)
    to_be_changed(layer)
    # Its parents have no entries of their own, which OCI allows.
    layer.file("implicit/a/b/file", b"below implied parents\n")
    return layer.close()


def odd_links(layer):
    layer.dir("odd/links")
    layer.file("odd/links/first", b"one content, three names\n", mode=0o640, uid=7, gid=8)
    layer.hardlink("odd/links/second", "odd/links/first")
    layer.dir("odd/links/deeper")
    layer.hardlink("odd/links/deeper/third", "odd/links/second")
    layer.symlink("odd/links/relative", "first")
    layer.symlink("odd/links/absolute", "/etc/hello")
    layer.symlink("odd/links/dangling", "no/such/file", uid=9, gid=10)
    layer.symlink("odd/links/loop", "loop")
    layer.symlink("odd/links/long", "x/" * 2000 + "end")
    layer.symlink("odd/links/directory", "deeper")


def odd_modes(layer):
    layer.dir("odd/modes")
    for mode in (0o000, 0o400, 0o111, 0o777, 0o4755, 0o2755, 0o6711, 0o1644):
        layer.file(f"odd/modes/file{mode:04o}", b"%o" % mode, mode=mode)
    for mode in (0o700, 0o1777, 0o2775, 0o000, 0o7777):
        layer.dir(f"odd/modes/dir{mode:04o}", mode=mode)
    layer.dir("odd/xattrs", xattrs={"user.on.directory": "yes", "trusted.note": "for root"})
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00" + b"\x00" * 12  # cap_net_bind_service+ep
    layer.file("odd/xattrs/capability", b"#!/bin/sh\n", mode=0o755,
               xattrs={"security.capability": capability.decode("ascii")})
    layer.file("odd/xattrs/many", b"many\n",
               xattrs={f"user.key{i:02}": "value " + "v" * i for i in range(30)})
    layer.file("odd/xattrs/text", b"text\n", xattrs={"user.text": "Grüße\nzwei = Zeilen\0"})
    layer.file("odd/xattrs/big", b"big\n", xattrs={"user.big": "0123456789abcdef" * 128})


def odd_nodes(layer):
    layer.dir("odd/nodes")
    layer.entry("odd/nodes/null", tarfile.CHRTYPE, dev=(1, 3), mode=0o666)
    layer.entry("odd/nodes/loop", tarfile.BLKTYPE, dev=(7, 200), mode=0o660, gid=6)
    layer.entry("odd/nodes/large", tarfile.CHRTYPE, dev=(511, 70000), mode=0o600)
    layer.entry("odd/nodes/fifo", tarfile.FIFOTYPE, mode=0o622)


def odd_names(layer):
    layer.dir("odd/names")
    names = ["with space", "new\nline", "back\\slash", "quote\"'", "-dash", "Grüße", "Grüße",
             "日本語", "😀", ".hidden", ".who", ".whale", "..double", "tab\t", "a%20b", "*", "bell\a",
             "n" * 255, "é" * 127]
    for name in names:
        layer.file("odd/names/" + name, name.encode())
    deep = "odd/names"
    for i in range(12):
        deep += f"/level{i:02}" + "d" * 40
        layer.dir(deep)
    layer.file(deep + "/bottom", b"deep\n")
    layer.dir("odd/crowd")
    for i in range(1500):
        layer.file(f"odd/crowd/member-{i:05}", b"%d\n" % i if i % 3 else b"")


def odd_times_and_owners(layer):
    layer.dir("odd/times")
    for stamp in (0, 1, 951_782_400, 2**31 - 1, 2**31, 2**32 + 5, 7_000_000_000):
        layer.file(f"odd/times/t{stamp}", b"", mtime=stamp)
    layer.dir("odd/times/directory", mtime=86_400)
    layer.symlink("odd/times/symlink", "t0", mtime=123_456_789)
    layer.dir("odd/owners")
    for uid, gid in ((1000, 1000), (65_534, 65_534), (65_536, 70_000), (2**21, 2**21 + 1),
                     (2**31 + 5, 2**32 - 2)):
        layer.file(f"odd/owners/u{uid}", b"", uid=uid, gid=gid)
    layer.dir("odd/owners/directory", uid=123_456, gid=654_321)


def odd_sizes(layer, size):
    layer.dir("odd/sizes")
    layer.file("odd/sizes/empty")
    layer.file("odd/sizes/one", b"1")
    chunk = 4 << 20 if size == "full" else 256 << 10
    for name, length in (("chunk", chunk), ("below", chunk - 1), ("above", chunk + 1),
                         ("three", 3 * chunk)):
        layer.file("odd/sizes/" + name, noise(length, name))
    # The same bytes under another name: the chunks have the same digests.
    layer.file("odd/sizes/above-again", noise(chunk + 1, "above"))
    layer.file("odd/sizes/random", noise((20 << 20) if size == "full" else (3 << 20), "random"))
    layer.file("odd/sizes/sparse", b"\0" * (8 << 20) + b"end")
    layer.file("odd/sizes/text", b"all work and no play makes a dull file\n" * 50_000)


def to_be_changed(layer):
    """What the topmost layer deletes, hides and replaces."""
    layer.dir("change")
    for name in ("deleted", "replaced", "kept", "to-directory", "recreated"):
        layer.file("change/" + name, b"lower " + name.encode() + b"\n")
    for name in ("deleted-dir", "opaque", "opaque/sub", "merged", "to-file", "opaque-empty"):
        layer.dir("change/" + name)
        layer.file(f"change/{name}/lower", b"lower\n")
    layer.symlink("change/link-to-file", "kept")
    layer.file("change/link-target-a", b"linked\n")
    layer.hardlink("change/link-target-b", "change/link-target-a")


def changes_layer(path):
    layer = Layer(path)
    layer.dir("etc")
    layer.file("etc/hello", b"upper hello\n", mode=0o600)
    layer.dir("change", mode=0o750, uid=5)
    layer.whiteout("change/deleted")
    layer.whiteout("change/deleted-dir")
    layer.whiteout("change/recreated")
    layer.file("change/recreated", b"upper, beside its own whiteout\n")
    layer.file("change/replaced", b"upper replaced\n")
    layer.dir("change/to-directory")
    layer.file("change/to-directory/inside", b"upper\n")
    layer.file("change/to-file", b"upper, was a directory\n")
    layer.dir("change/opaque", mode=0o711)
    layer.opaque("change/opaque")
    layer.file("change/opaque/upper", b"upper\n")
    layer.dir("change/opaque-empty")
    layer.opaque("change/opaque-empty")
    layer.dir("change/merged", mtime=EPOCH + 5)
    layer.file("change/merged/upper", b"upper\n")
    layer.file("change/link-to-file", b"upper, was a link\n")
    layer.whiteout("change/link-target-a")
    layer.dir("odd")
    layer.dir("odd/crowd", mtime=EPOCH + 9)
    for i in range(0, 1500, 100):
        layer.whiteout(f"odd/crowd/member-{i:05}")
    return layer.close()


# --- layout ----------------------------------------------------------------

def put(out, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(out, "blobs/sha256", digest), "wb") as blob:
        blob.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def put_layer(out, path):
    digest = hashlib.sha256()
    with open(path, "rb") as blob:
        for piece in iter(lambda: blob.read(1 << 20), b""):
            digest.update(piece)
    size = os.path.getsize(path)
    os.rename(path, os.path.join(out, "blobs/sha256", digest.hexdigest()))
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": "sha256:" + digest.hexdigest(), "size": size}


def architecture():
    return subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()


def write_layout(out, layers, diff_ids, command):
    config = {"architecture": architecture(), "os": "linux", "created": "2023-11-14T22:13:20Z",
              "config": {"Cmd": command, "WorkingDir": "/",
                         "Env": ["PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin"]},
              "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    config = put(out, json.dumps(config).encode())
    config["mediaType"] = "application/vnd.oci.image.config.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": config, "layers": layers}
    manifest = put(out, json.dumps(manifest).encode())
    manifest["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "image"}
    with open(os.path.join(out, "index.json"), "w") as index:
        json.dump({"schemaVersion": 2, "manifests": [manifest]}, index)
    with open(os.path.join(out, "oci-layout"), "w") as layout:
        layout.write('{"imageLayoutVersion":"1.0.0"}')


def main():
    size, out, debs = sys.argv[1:4]
    os.makedirs(os.path.join(out, "blobs/sha256"))
    if size == "small":
        makers = [lambda p: busybox_layer(p, debs)]
    else:
        makers = [lambda p: base_layer(p, debs),
                  lambda p: package_layer(p, os.path.join(debs, "python"), True)]
    if size == "full":
        makers.append(lambda p: package_layer(p, os.path.join(debs, "compilers"), False))
    makers += [lambda p: odd_layer(p, size), changes_layer]
    layers, diff_ids = [], []
    for number, make in enumerate(makers):
        path = os.path.join(out, f"layer{number}")
        diff_ids.append(make(path))
        layers.append(put_layer(out, path))
    write_layout(out, layers, diff_ids, ["/bin/sh"])
    for layer in layers:
        print(layer["digest"], layer["size"])


if __name__ == "__main__":
    main()
