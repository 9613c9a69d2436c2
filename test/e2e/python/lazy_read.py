"""lazy_read.py URL: reads info/index.json of a remote package without downloading all of it."""

import json

import requests
from conda_package_streaming.url import stream_conda_info
from rattler import Client
from rattler.package_streaming import PackageArchive
from script import run


def with_conda_package_streaming(url):
    session = requests.Session()
    answers = []
    session.hooks["response"].append(
        lambda answer, **_: answers.append(
            {
                "range": answer.request.headers.get("Range"),
                "status": answer.status_code,
                "length": int(answer.headers["Content-Length"]),
            }
        )
    )
    for archive, member in stream_conda_info(url, session=session):
        if member.name == "info/index.json":
            return {"index": json.load(archive.extractfile(member)), "answers": answers}
    raise LookupError("no info/index.json")


async def with_rattler(url):
    archive = await PackageArchive.from_url(Client.default_client(), url)
    return {"index": json.loads(await archive.read_file("info/index.json")), "access": archive.access}


async def main(url):
    return {"streaming": with_conda_package_streaming(url), "rattler": await with_rattler(url)}


run(main)
