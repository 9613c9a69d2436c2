"""decode.py URL...: decodes compressed documents in every way that clients do; prints one sha256 for each, by way."""

import bz2
import hashlib
import io

import requests
import zstandard
from script import run


def zst(body):
    yield "one-shot", zstandard.ZstdDecompressor().decompress(body, allow_extra_data=False)
    yield "reader", zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True).read()
    written = io.BytesIO()
    with zstandard.ZstdDecompressor().stream_writer(written, closefd=False) as writer:
        for start in range(0, len(body), 1000):
            writer.write(body[start : start + 1000])
    yield "writer", written.getvalue()
    decoder = zstandard.ZstdDecompressor().decompressobj()
    content = b"".join(decoder.decompress(body[start : start + 1]) for start in range(len(body)))
    assert decoder.eof and decoder.unused_data == b"", "the frame ends before the document"
    yield "byte by byte", content
    assert zstandard.frame_content_size(body) == len(content), "the frame does not say how long it is"


def bzip2(body):
    decoder = bz2.BZ2Decompressor()
    content = decoder.decompress(body)
    assert decoder.eof and decoder.unused_data == b"", "the stream ends before the document"
    yield "one stream", content
    yield "one-shot", bz2.decompress(body)


def main(*urls):
    decoded = {}
    for url in urls:
        answer = requests.get(url, timeout=10)
        answer.raise_for_status()
        ways = zst(answer.content) if url.endswith(".zst") else bzip2(answer.content)
        decoded[url] = {way: hashlib.sha256(content).hexdigest() for way, content in ways}
    return decoded


run(main)
