"""upload_artifactory.py URL CHANNEL TOKEN FILE...: uploads with rattler-build's Artifactory client."""

from rattler_build import upload_package_to_artifactory
from script import run


def main(url, channel, token, *files):
    upload_package_to_artifactory(list(files), url, channel, token=token)
    return {"uploaded": len(files)}


run(main)
