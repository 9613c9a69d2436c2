"""solve.py CHANNEL SPEC...: solves for linux-64 and prints the records."""

from rattler import Client, Gateway, solve
from script import describe, run


async def main(channel, *specs):
    # Only a client made on purpose looks into the auth file.
    gateway = Gateway(client=Client.default_client())
    records = await solve([channel], list(specs), gateway, platforms=["linux-64", "noarch"])
    return sorted((describe(record) for record in records), key=lambda record: record["name"])


run(main)
