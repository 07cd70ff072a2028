#!/usr/bin/python3
"""Reads from one file with some readers at once, and says how it went.

  cold_read.py FILE OFFSET LENGTH [READERS [STEP]]

Reader i reads LENGTH bytes at OFFSET + i * STEP. Prints the wall time in
milliseconds, then per reader either the SHA-256 of what it read or errno=N.
Read-ahead by the kernel is turned off, so only these bytes' pages are wanted.
"""

import hashlib
import os
import sys
import threading
import time


def read(path, offset, length, start, out, i):
    try:
        # The open is before the start: it needs no data.
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    except OSError as error:
        start.wait()
        out[i] = f"errno={error.errno}"
        return
    start.wait()
    try:
        digest, left = hashlib.sha256(), length
        while left > 0 and (data := os.pread(fd, left, offset + length - left)):
            digest.update(data)
            left -= len(data)
        out[i] = digest.hexdigest()
    except OSError as error:
        out[i] = f"errno={error.errno}"
    os.close(fd)


def main():
    path, offset, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    readers = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    step = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    start, out = threading.Barrier(readers + 1), [None] * readers
    threads = [threading.Thread(target=read, args=(path, offset + i * step, length, start, out, i))
               for i in range(readers)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.monotonic()
    for thread in threads:
        thread.join()
    print(f"{(time.monotonic() - begin) * 1e3:.1f}", *out)


if __name__ == "__main__":
    main()
