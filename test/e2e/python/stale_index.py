"""stale_index.py CHANNEL UPLOAD TOKEN FILE NAME: reads the index, has a file published, and only then asks for a name's
records; prints the versions of that name for the client that holds the old index, and for one that reads it anew."""

from pathlib import Path

import requests
from rattler import Client, Gateway
from script import run

SUBDIRS = ["linux-64", "noarch"]


async def versions(gateway, channel, name):
    found = await gateway.query([channel], SUBDIRS, [name], recursive=False)
    return sorted({str(record.version) for records in found for record in records})


async def main(channel, upload, token, file, name):
    gateway = Gateway(client=Client.default_client())
    known = [each.source for each in await gateway.names([channel], SUBDIRS)]
    with Path(file).open("rb") as body:
        headers = {"Authorization": f"Bearer {token}"}
        requests.put(f"{upload}/{Path(file).name}", data=body, headers=headers, timeout=30).raise_for_status()
    held = await versions(gateway, channel, name)
    return {"known": sorted(known), "held": held, "anew": await versions(Gateway(client=Client.default_client()), channel, name)}


run(main)
