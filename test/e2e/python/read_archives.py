"""read_archives.py READER FOLDER RESULTS: what a reader makes of each FOLDER/ID/PACKAGE, as lines of JSON in RESULTS.

A line is written as soon as it is known, and who is in RESULTS is not read again: after a crash the rest can go on.
"""

import asyncio
import bz2
import ctypes
import ctypes.util
import hashlib
import inspect
import io
import json
import locale
import os
import pathlib
import shutil
import stat
import tarfile
import tempfile
import zipfile

from script import run

try:
    import compression.zstd as zstd
except ImportError:
    from backports import zstd

# Unpacking thousands of packages waits for no disk there.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# --- Python's own zipfile and tarfile: members as they are listed


def with_tarfile(package, _):
    if package.endswith(".tar.bz2"):
        return {"members": members_of(bz2.decompress(read(package)))}
    with zipfile.ZipFile(package) as archive:
        names = sorted(archive.namelist())
        parts = [zstd.decompress(archive.read(name)) for name in names if name.endswith(".tar.zst")]
        if archive.testzip() is not None:
            raise ValueError("a member has another checksum")
    return {"names": names, "members": [member for part in parts for member in members_of(part)]}


def members_of(data):
    listed = []
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8") as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            if member.isdir() and path in ("", "."):
                continue
            content = archive.extractfile(member).read() if member.isreg() else b""
            kind = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink"}.get(
                member.type, "file" if member.isreg() else repr(member.type)
            )
            link = member.linkname if kind in ("symlink", "hardlink") else ""
            link = link.removeprefix("./") if kind == "hardlink" else link
            listed.append([path, kind, len(content), member.mode & 0o7777, sha256(content), link])
    return listed


# --- clients that unpack into a folder


def with_conda(package, folder):
    from conda_package_streaming.extract import extract

    extract(package, folder)


def with_rattler(package, folder):
    from rattler.package_streaming import extract

    extract(package, folder)


async def with_rattler_download(package, folder):
    """As rattler and pixi do it while they download, with other libraries for ZIP and tar."""
    from rattler import Client
    from rattler.package_streaming import download_and_extract

    await download_and_extract(Client(), pathlib.Path(package).as_uri(), folder)


async def with_rattler_stream(package, _):
    """What rattler reads of a package that it does not unpack."""
    from rattler.package_streaming import PackageArchive

    archive = await PackageArchive.from_path(package)
    found = {}
    for section in ("info", "pkg"):
        async for entry in archive.stream(section):
            name = entry.name.removeprefix("./").removesuffix("/")
            kind = "symlink" if entry.is_symlink else "hardlink" if entry.is_hardlink else "file"
            # The rest are directories and global headers, told apart by nothing.
            if not (entry.is_link or entry.is_file):
                continue
            content = await entry.read() if entry.is_file else b""
            link = entry.link_target.removeprefix("./" if entry.is_hardlink else "") if entry.is_link else ""
            if name in found:
                raise ValueError(f"{name} is there twice")
            found[name] = [kind, len(content), sha256(content), link]
    return {"entries": found}


def with_mamba(package, folder):
    """Unpacks by libarchive, with the calls and flags of libmamba."""
    here = os.getcwd()
    os.chdir(folder)
    try:
        if package.endswith(".tar.bz2"):
            with Libarchive(read(package), "format_tar", "format_zip", "filter_all") as archive:
                archive.unpack()
            return
        with Libarchive(package, "format_zip") as outer:
            for name, size in outer.entries():
                base = name.rsplit("/", 1)[-1]
                if base.endswith(".zst") and base.split("-")[0] in ("info", "pkg"):
                    with Libarchive(outer.data(), "filter_zstd", "format_tar") as inner:
                        inner.unpack()
    finally:
        os.chdir(here)


class Libarchive:
    EOF, OK, WARN = 1, 0, -20
    # time, permissions, unlink; nothing through links, with `..` or absolute
    FLAGS = 0x0004 | 0x0002 | 0x0010 | 0x0100 | 0x0200 | 0x10000

    def __init__(self, source, *supported):
        self.read = lib().archive_read_new()
        for what in supported:
            getattr(lib(), f"archive_read_support_{what}")(self.read)
        self.source = source
        if isinstance(source, bytes):
            self.check(lib().archive_read_open_memory(self.read, source, len(source)))
        else:
            self.check(lib().archive_read_open_filename(self.read, source.encode(), 10240))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        lib().archive_read_free(self.read)

    def check(self, code, archive=None, least=OK):
        if code < least:
            raise OSError(str(lib().archive_error_string(archive or self.read)))

    def next(self):
        entry = ctypes.c_void_p()
        code = lib().archive_read_next_header(self.read, ctypes.byref(entry))
        if code == self.EOF:
            return None
        self.check(code)
        return entry

    def entries(self):
        while (entry := self.next()) is not None:
            yield os.fsdecode(lib().archive_entry_pathname(entry)), lib().archive_entry_size(entry)

    def data(self):
        chunks = []
        buffer = ctypes.create_string_buffer(65536)
        while (count := lib().archive_read_data(self.read, buffer, len(buffer))) > 0:
            chunks.append(buffer.raw[:count])
        self.check(count)
        return b"".join(chunks)

    def unpack(self):
        disk = lib().archive_write_disk_new()
        lib().archive_write_disk_set_options(disk, self.FLAGS)
        lib().archive_write_disk_set_standard_lookup(disk)
        try:
            while (entry := self.next()) is not None:
                self.check(lib().archive_write_header(disk, entry), disk)
                if lib().archive_entry_size(entry) > 0:
                    self.copy(disk)
                self.check(lib().archive_write_finish_entry(disk), disk, self.WARN)
        finally:
            lib().archive_write_free(disk)

    def copy(self, disk):
        block, size, offset = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_int64()
        while True:
            code = lib().archive_read_data_block(
                self.read, ctypes.byref(block), ctypes.byref(size), ctypes.byref(offset)
            )
            if code == self.EOF:
                return
            self.check(code)
            self.check(lib().archive_write_data_block(disk, block, size, offset), disk)


loaded = None


def lib():
    global loaded
    if loaded is None:
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
        name = ctypes.util.find_library("archive")
        if name is None:
            raise LookupError("libarchive is not installed")
        loaded = ctypes.CDLL(name)
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64
        for function, result, arguments in [
            ("archive_read_new", pointer, []),
            ("archive_read_free", ctypes.c_int, [pointer]),
            ("archive_read_support_format_tar", ctypes.c_int, [pointer]),
            ("archive_read_support_format_zip", ctypes.c_int, [pointer]),
            ("archive_read_support_filter_all", ctypes.c_int, [pointer]),
            ("archive_read_support_filter_zstd", ctypes.c_int, [pointer]),
            ("archive_read_open_memory", ctypes.c_int, [pointer, text, ctypes.c_size_t]),
            ("archive_read_open_filename", ctypes.c_int, [pointer, text, ctypes.c_size_t]),
            ("archive_read_next_header", ctypes.c_int, [pointer, pointer]),
            ("archive_read_data", ctypes.c_ssize_t, [pointer, pointer, ctypes.c_size_t]),
            ("archive_read_data_block", ctypes.c_int, [pointer, pointer, pointer, pointer]),
            ("archive_error_string", text, [pointer]),
            ("archive_entry_pathname", text, [pointer]),
            ("archive_entry_size", number, [pointer]),
            ("archive_write_disk_new", pointer, []),
            ("archive_write_disk_set_options", ctypes.c_int, [pointer, ctypes.c_int]),
            ("archive_write_disk_set_standard_lookup", ctypes.c_int, [pointer]),
            ("archive_write_header", ctypes.c_int, [pointer, pointer]),
            ("archive_write_data_block", ctypes.c_ssize_t, [pointer, pointer, ctypes.c_size_t, number]),
            ("archive_write_finish_entry", ctypes.c_int, [pointer]),
            ("archive_write_free", ctypes.c_int, [pointer]),
        ]:
            found = getattr(loaded, function)
            found.restype, found.argtypes = result, arguments
    return loaded


def tree_of(folder):
    """What lies in a folder: [type], [type, target] or [type, whether it may be run, size, hash]."""
    tree = {}
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            key = os.path.relpath(path, folder)
            if stat.S_ISLNK(status.st_mode):
                tree[key] = ["symlink", os.readlink(path)]
            elif stat.S_ISDIR(status.st_mode):
                tree[key] = ["directory"]
            else:
                # Names of one file share their rights, and readers do not set them in one order.
                runs = "shared" if status.st_nlink > 1 else bool(status.st_mode & 0o100)
                tree[key] = ["file", runs, status.st_size, sha256(read(path))]
    return tree


def read(path):
    with open(path, "rb") as file:
        return file.read()


def version():
    lib()
    loaded.archive_version_string.restype = ctypes.c_char_p
    return loaded.archive_version_string().decode()


READERS = {
    "tarfile": with_tarfile,
    "conda": with_conda,
    "mamba": with_mamba,
    "rattler": with_rattler,
    "rattler-download": with_rattler_download,
    "rattler-stream": with_rattler_stream,
}


def main(reader, folder, results):
    if folder == "":
        return version()
    done = set()
    if os.path.exists(results):
        done = {json.loads(line)["id"] for line in open(results)}
    with open(results, "a") as lines:
        for name in sorted(set(os.listdir(folder)) - done, key=int):
            lines.write(json.dumps({"id": name, **answer(READERS[reader], os.path.join(folder, name))}) + "\n")
            lines.flush()
    return True


def answer(unpack, folder):
    [package] = os.listdir(folder)
    target = tempfile.mkdtemp(dir=MEMORY)
    try:
        listed = unpack(os.path.join(folder, package), target)
        if inspect.iscoroutine(listed):
            listed = asyncio.run(listed)
        return listed or {"tree": tree_of(target)}
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        shutil.rmtree(target, ignore_errors=True)


run(main)
