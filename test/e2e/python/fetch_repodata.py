"""fetch_repodata.py CHANNEL SUBDIR CACHE: what a client sees in each form of the index, and by a strict parse."""

from pathlib import Path

import requests
from rattler import Channel, Gateway, RepoData, SourceConfig
from script import describe, run

FORMS = {
    "shards": SourceConfig(),
    "zst": SourceConfig(sharded_enabled=False, bz2_enabled=False),
    "bz2": SourceConfig(sharded_enabled=False, zstd_enabled=False),
    "json": SourceConfig(sharded_enabled=False, zstd_enabled=False, bz2_enabled=False),
}


async def main(channel, subdir, cache):
    forms = {}
    for form, config in FORMS.items():
        gateway = Gateway(cache_dir=Path(cache) / form, default_config=config)
        names = await gateway.names([channel], [subdir])
        (records,) = await gateway.query([channel], [subdir], [name.source for name in names], recursive=False)
        forms[form] = by_file_name(records)
    answer = requests.get(f"{channel}/{subdir}/repodata.json", timeout=10)
    answer.raise_for_status()
    file = Path(cache) / "strict.json"
    file.write_bytes(answer.content)
    strict = RepoData.from_path(file)
    forms["strict"] = by_file_name(strict.into_repo_data(Channel(channel)))
    return forms


def by_file_name(records):
    return sorted((describe(record) for record in records), key=lambda record: record["fileName"])


run(main)
