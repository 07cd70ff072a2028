#!/usr/bin/python3
"""Reads chunks of files one after the other, and says of each how it went.

  read_chunks.py TREE <LIST

LIST has a line for each: file, offset, length, SHA-256; separated by tabs. Prints a line
for each: milliseconds, then ok, wrong, or errno=N. Read-ahead by the kernel is turned
off, so only these bytes' pages are wanted.
"""

import hashlib
import os
import sys
import time


def read(path, offset, length):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        data = b""
        while len(data) < length and (more := os.pread(fd, length - len(data), offset + len(data))):
            data += more
        return data
    finally:
        os.close(fd)


def main():
    for line in sys.stdin.read().splitlines():
        name, offset, length, digest = line.split("\t")
        begin = time.monotonic()
        try:
            data = read(os.path.join(sys.argv[1], name), int(offset), int(length))
            took = time.monotonic() - begin
            right = hashlib.sha256(data).hexdigest() == digest.removeprefix("sha256:")
            outcome = "ok" if right else "wrong"
        except OSError as error:
            took, outcome = time.monotonic() - begin, f"errno={error.errno}"
        print(f"{took * 1e3:.2f} {outcome}", flush=True)


if __name__ == "__main__":
    main()
