"""Answers `query.search` from a handful of sentences. Start it with `--help`; `README.md` says what there is to see."""

import argparse
import logging
import os
import signal

from nooble_worker import Failed, Worker

from nooble.query.v1 import query_pb2  # Generated when `nooble_worker` was imported.

PASSAGES = [
    "A free tenant may make ten requests a minute.",
    "An enterprise tenant goes first whenever it is behind its share.",
    "A worker that dies loses its leases, and others do its work again.",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:50051", help="host and port of the gRPC port")
    parser.add_argument("--concurrency", type=int, default=4, help="actions at once")
    parser.add_argument("--name", default="python-worker", help="name for the server's logs")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that every action takes, to watch it")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # In the environment, since arguments are seen by everybody on the machine.
    key = os.environ.get("NOOBLE_KEY") or parser.error("set NOOBLE_KEY to a key with the scope worker:query")

    worker = Worker(options.address, key, "query", options.concurrency, options.name)

    @worker.on("query.search", query_pb2.SearchPassages)
    def search(lease, request):
        if not request.query:
            raise Failed("INVALID_FIELD", "`query` is empty")
        lease.stopped.wait(options.pause)
        words = set(request.query.lower().split())
        found = [(len(words & set(text.lower().strip(".").split())) / len(words), text) for text in PASSAGES]
        reply = query_pb2.SearchPassagesResult()
        for similarity, text in sorted(found, reverse=True)[: request.limit or 5]:
            if similarity > 0:
                reply.sources.add(document_id="sentences", passage=text, similarity=similarity)
        return reply

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()


if __name__ == "__main__":
    main()
