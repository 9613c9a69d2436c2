"""write_archives.py FOLDER: one small package from each writer that is here, FOLDER/WRITER/PACKAGE.

Prints which there are. Names are long, of all languages, and cut by some writers right behind a slash.
"""

import bz2
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile

from conda_package_streaming.create import conda_builder
from conda_package_streaming.transmute import transmute
from script import run

try:
    import compression.zstd as zstd
except ImportError:
    from backports import zstd

STEM = "demo-1-0"
INDEX = {"name": "demo", "version": "1", "build": "0", "build_number": 0, "depends": [], "subdir": "noarch"}


def plant(folder):
    """Files, folders and links; gives the paths, those of info/ first. Names of `plain` fit a header and its prefix."""
    files = {
        "info/index.json": json.dumps(INDEX),
        "info/paths.json": json.dumps({"paths": [], "paths_version": 1}),
        "bin/tool": "#!/bin/sh\n",
        "lib/a": "aa",
        "lib/empty": "",
        f"share/{'deep/' * 24}file": "deep",
        "share/größe": "large",
    }
    long = {
        f"{'x' * 99}/cut": "cut behind a slash",
        f"{'y' * 98}/é": "cut before a letter of two bytes",
        f"{'z' * 99}/ä/{'w' * 200}/{'v' * 200}": "longer than any header",
        f"share/{'ö' * 60}/日本": "many bytes",
        f"share/{'n' * 94}": "as long as the field",
        "share/\u0939\u093f\u0928\u094d\u0926\u0940/\ud55c/\ufb01": "composed as it should be",
        f"share/{'n' * 95}": "longer by one",
    }
    for path, text in {**files, **long}.items():
        write(os.path.join(folder, path), text)
    os.chmod(os.path.join(folder, "bin/tool"), 0o755)
    os.makedirs(os.path.join(folder, "share/nothing"))
    os.symlink("a", os.path.join(folder, "lib/link"))
    os.link(os.path.join(folder, "lib/a"), os.path.join(folder, "lib/same"))
    os.utime(os.path.join(folder, "lib/a"), (1_700_000_000.5, 1_700_000_000.123456))
    os.symlink(f"{'z' * 99}/ä/{'w' * 200}", os.path.join(folder, "long-link"))
    plain = [*files, "share/nothing", "lib/link", "lib/same"]
    return plain, [*plain, *long, "long-link", "share"]


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def by_tarfile(layout):
    def make(folder, paths):
        target = os.path.join(tempfile.mkdtemp(), "x.tar")
        with tarfile.open(target, "w", format=layout) as archive:
            for path in paths:
                archive.add(os.path.join(folder, path), path, recursive=False)
        return take(target)

    return make


def by_command(*command):
    """A tar that takes its members from a list, and puts the archive on its output."""

    def make(folder, paths):
        listed = "".join(f"{path}\n" for path in paths).encode()
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [*command, "-cf", "-", "-T", "-"], cwd=folder, env=environment, input=listed, stdout=-1, check=True
        ).stdout

    return make


def take(path):
    with open(path, "rb") as file:
        data = file.read()
    shutil.rmtree(os.path.dirname(path))
    return data


def pack(target, tarball):
    """Both formats of a package, around the tarballs that `tarball` makes of a part of the paths."""
    os.makedirs(target)
    with open(os.path.join(target, f"{STEM}.tar.bz2"), "wb") as file:
        file.write(bz2.compress(tarball(lambda _: True)))
    os.makedirs(f"{target} conda")
    with zipfile.ZipFile(os.path.join(f"{target} conda", f"{STEM}.conda"), "w") as archive:
        archive.writestr("metadata.json", json.dumps({"conda_pkg_format_version": 2}))
        archive.writestr(f"pkg-{STEM}.tar.zst", zstd.compress(tarball(lambda path: not is_info(path))))
        archive.writestr(f"info-{STEM}.tar.zst", zstd.compress(tarball(is_info)))


def is_info(path):
    return path.startswith("info/")


def main(target):
    folder = tempfile.mkdtemp()
    plain, all_paths = plant(folder)
    writers = {
        "tarfile ustar": (by_tarfile(tarfile.USTAR_FORMAT), plain),
        "tarfile gnu": (by_tarfile(tarfile.GNU_FORMAT), all_paths),
        "tarfile pax": (by_tarfile(tarfile.PAX_FORMAT), all_paths),
    }
    for layout, paths in {"ustar": plain, "gnu": all_paths, "oldgnu": all_paths, "posix": all_paths}.items():
        writers[f"tar {layout}"] = (by_command("tar", f"--format={layout}", "--no-recursion"), paths)
    if shutil.which("bsdtar"):
        for layout, paths in {"ustar": plain, "gnutar": all_paths, "pax": all_paths, "paxr": all_paths}.items():
            writers[f"bsdtar {layout}"] = (by_command("bsdtar", "--format", layout, "-n"), paths)
    for name, (make, paths) in writers.items():
        pack(os.path.join(target, name), lambda wanted: make(folder, [path for path in paths if wanted(path)]))
    os.makedirs(os.path.join(target, "streaming"))
    with conda_builder(STEM, os.path.join(target, "streaming")) as archive:
        for path in all_paths:
            archive.add(os.path.join(folder, path), path, recursive=False)
    os.makedirs(os.path.join(target, "transmuted"))
    transmute(os.path.join(target, "tarfile gnu", f"{STEM}.tar.bz2"), os.path.join(target, "transmuted"))
    shutil.rmtree(folder)
    return sorted(os.listdir(target))


run(main)
