#!/usr/bin/python3
"""Prints a tar from standard input, one line a member, sorted: type, mode, owner,
size, device, time, link target, extended attributes, SHA-256 of the content. The
order in which a file system lists attributes is nobody's business, so they are
sorted; everything else of two tars is the same exactly when these lines are.
"""

import hashlib
import sys
import tarfile


def line(archive, member):
    attributes = sorted((key, value) for key, value in member.pax_headers.items()
                        if key.startswith("SCHILY.xattr."))
    parts = [repr(member.name), member.type.decode(), f"{member.mode:o}",
             f"{member.uid}:{member.gid}", str(member.size),
             f"{member.devmajor}:{member.devminor}", str(member.mtime), repr(member.linkname),
             repr(attributes)]
    if member.isreg():
        parts.append(hashlib.sha256(archive.extractfile(member).read()).hexdigest())
    return " ".join(parts)


def main():
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|",
                      errors="surrogateescape") as archive:
        lines = sorted(line(archive, member) for member in archive)
    print("\n".join(lines).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


main()
