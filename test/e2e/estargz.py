#!/usr/bin/python3
"""Looks into an eStargz (gzip) blob, independently of the code under test.

  estargz.py chunks BLOB          every chunk: file, offset in it, blob range, digest
  estargz.py corrupt BLOB FILE    flips bytes inside FILE's last chunk; prints that line
  estargz.py size BLOB            bytes of the blob, of its TOC, and uncompressed payload
"""

import bisect
import io
import json
import os
import sys
import tarfile
import zlib

FOOTER = 51


def table(blob):
    blob.seek(-FOOTER, os.SEEK_END)
    size = blob.tell() + FOOTER
    footer = blob.read(FOOTER)
    if footer[16 + 16:16 + 22] != b"STARGZ":
        sys.exit("estargz.py: no eStargz footer")
    offset = int(footer[16:32], 16)
    blob.seek(offset)
    packed = blob.read(size - FOOTER - offset)
    plain = zlib.decompressobj(wbits=31).decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return json.load(tar.extractfile("stargz.index.json"))["entries"], offset, len(packed)


def chunks(blob):
    entries, end, _ = table(blob)
    found, name, size = [], None, 0
    for entry in entries:
        if entry["type"] == "reg":
            name, size = entry["name"], entry.get("size", 0)
        if entry["type"] not in ("reg", "chunk") or not entry.get("offset"):
            continue
        at = entry.get("chunkOffset", 0)
        length = entry.get("chunkSize") or size - at
        found.append([name, at, length, entry["offset"], 0, entry.get("chunkDigest", "-")])
    starts = sorted({e["offset"] for e in entries if e.get("offset")}) + [end]
    for chunk in found:
        chunk[4] = starts[bisect.bisect_right(starts, chunk[3])]
    return found


def show(chunk):
    name, at, length, begin, end, digest = chunk
    print(f"{name}\t{at}\t{length}\t{begin}\t{end}\t{digest}")


def corrupt(path, name):
    with open(path, "r+b") as blob:
        mine = [c for c in chunks(blob) if c[0] == name]
        if not mine:
            sys.exit(f"estargz.py: {path} has no file {name} with content")
        chunk = mine[-1]
        middle = (chunk[3] + chunk[4]) // 2
        blob.seek(middle)
        bytes_there = blob.read(4)
        blob.seek(middle)
        blob.write(bytes(b ^ 0xFF for b in bytes_there))
    show(chunk)


def main():
    verb, path = sys.argv[1:3]
    if verb == "corrupt":
        corrupt(path, sys.argv[3])
        return
    with open(path, "rb") as blob:
        if verb == "size":
            entries, _, toc = table(blob)
            print(os.path.getsize(path), toc, sum(e.get("size", 0) for e in entries))
        else:
            for chunk in chunks(blob):
                show(chunk)


if __name__ == "__main__":
    main()
