#!/usr/bin/python3
"""Reads one page of a file in one of the ways there are, and waits for it.

  patient_read.py cached|mapped|direct FILE OFFSET

cached: read(2); mapped: a page fault, without read-ahead; direct: O_DIRECT. SIGUSR1
is handled and nothing else; SIGINT ends it with status 3.
"""

import mmap
import os
import signal
import sys


def read(how, path, offset):
    page = offset // mmap.PAGESIZE * mmap.PAGESIZE
    fd = os.open(path, os.O_RDONLY | (os.O_DIRECT if how == "direct" else 0))
    if how == "mapped":
        mapped = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        mapped.madvise(mmap.MADV_RANDOM)
        say(f"reading {how} {offset}")
        return mapped[page]
    room = mmap.mmap(-1, mmap.PAGESIZE)  # aligned, as O_DIRECT wants it
    say(f"reading {how} {offset}")
    return os.preadv(fd, [room], page)


def say(line):
    print(line, flush=True)


def main():
    signal.signal(signal.SIGUSR1, lambda *_: say("signal"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        read(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(3)
    say("read")


if __name__ == "__main__":
    main()
