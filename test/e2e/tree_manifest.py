#!/usr/bin/python3
"""Prints everything a program could see of a tree, one line a name, sorted.

  tree_manifest.py ROOT [--implied DIR]...

Type, mode, owner, size, device number, modification time, extended attributes,
link target, SHA-256 of the content, and which names are the same file. Two trees
are the same exactly when these lines are. Directories named by --implied and those
under them have no entry in their layer, so their times are nobody's and left out;
so is the root's, which a new snapshot's upper directory gives.
Reading errors become part of the line: a file that cannot be read is a difference.
"""

import argparse
import hashlib
import os
import stat
import sys

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink",
         stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket"}


def content(path):
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as data:
            while piece := data.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        return f"unreadable:{error.errno}"
    return digest.hexdigest()


def attributes(path):
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
    except OSError as error:
        return [f"xattrs-unreadable:{error.errno}"]
    return [f"{name}={os.getxattr(path, name, follow_symlinks=False).hex()}" for name in names]


def names(root):
    yield b""
    pending = [b""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                yield name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(name)


def line(root, name, same, implied):
    path = os.path.join(root, name) if name else root
    info = os.lstat(path)
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    timeless = not name or kind == "dir" and any(name == i or name.startswith(i + b"/") for i in implied)
    fields = [repr(name.decode("utf-8", "surrogateescape")), kind,
              f"mode={stat.S_IMODE(info.st_mode):04o}", f"owner={info.st_uid}:{info.st_gid}",
              "mtime=-" if timeless else f"mtime={info.st_mtime_ns}"]
    if kind != "dir":
        fields.append(f"nlink={info.st_nlink}")
        first = same.setdefault((info.st_dev, info.st_ino), name)
        if first != name:
            fields.append(f"same-as={first.decode('utf-8', 'surrogateescape')!r}")
    if kind in ("char", "block"):
        fields.append(f"device={os.major(info.st_rdev)}:{os.minor(info.st_rdev)}")
    if kind == "symlink":
        fields.append(f"size={info.st_size} target={os.readlink(path)!r}")
    if kind == "file":
        fields.append(f"size={info.st_size} sha256={content(path)}")
    return " ".join(fields + attributes(path))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("--implied", action="append", default=[])
    given = parser.parse_args()
    root = os.fsencode(given.root)
    implied = [os.fsencode(i) for i in given.implied]
    same = {}
    for name in sorted(names(root)):
        sys.stdout.write(line(root, name, same, implied) + "\n")


if __name__ == "__main__":
    main()
