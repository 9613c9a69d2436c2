"""index_oracle.py FOLDER: indexes a folder of packages as rattler-index does and prints the repodata by subdir."""

import json
from pathlib import Path

from rattler.index import index_fs
from script import run


async def main(folder):
    await index_fs(Path(folder), write_zst=False, write_shards=False, force=True)
    return {path.parent.name: json.loads(path.read_text()) for path in Path(folder).glob("*/repodata.json")}


run(main)
