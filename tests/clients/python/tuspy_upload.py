"""Uploads a file with the stock tuspy, chunk by chunk, as the test that drives it says.

Prints one JSON object a line: `{"url", "offset"}` after each chunk. With `--stepwise` it waits for a line on standard
input before each chunk but the first. `--chunks` ends it early, `--url` goes on with an upload that exists.
"""

import argparse
import json
import sys

from tusclient import client


def main() -> None:
    arguments = parse()
    tus = client.TusClient(arguments.endpoint)
    uploader = tus.uploader(
        arguments.file,
        url=arguments.url,
        chunk_size=arguments.chunk_size,
        metadata={"filename": "film.bin"},
        retries=100,
        retry_delay=0.1,
    )
    if arguments.url:
        tell(uploader)
    chunks = 0
    while uploader.offset < uploader.stop_at and chunks != arguments.chunks:
        if arguments.stepwise and chunks > 0:
            sys.stdin.readline()
        uploader.upload_chunk()
        chunks += 1
        tell(uploader)


def tell(uploader) -> None:
    print(json.dumps({"url": uploader.url, "offset": uploader.offset}), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("file")
    parser.add_argument("--chunk-size", type=int, default=sys.maxsize)
    parser.add_argument("--chunks", type=int, default=-1)
    parser.add_argument("--url")
    parser.add_argument("--stepwise", action="store_true")
    return parser.parse_args()


main()
