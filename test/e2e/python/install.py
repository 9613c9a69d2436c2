"""install.py CHANNEL PREFIX SPEC...: solves and installs into a prefix, link scripts included."""

from pathlib import Path

from rattler import Client, Gateway, PrefixRecord, Subdir, install, solve
from script import describe, run


async def main(channel, prefix, *specs):
    # Only a client made on purpose looks into the auth file.
    client = Client.default_client()
    records = await solve([channel], list(specs), Gateway(client=client), platforms=["linux-64", "noarch"])
    await install(
        records,
        prefix,
        platform=Subdir("linux-64"),
        client=client,
        execute_link_scripts=True,
        show_progress=False,
    )
    installed = [PrefixRecord.from_path(path) for path in sorted(Path(prefix, "conda-meta").glob("*.json"))]
    return {
        "records": [describe(record) for record in installed],
        "files": sorted(str(file) for record in installed for file in record.files),
    }


run(main)
