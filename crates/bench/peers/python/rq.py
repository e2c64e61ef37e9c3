"""RQ: one SimpleWorker, which works without a fork a job, the quickest that it has; `enqueue_many` for batches."""

import importlib.metadata

import stage
from redis import Redis
from rq import Queue, SimpleWorker

N = stage.N


class Rq:
    version = f"rq {importlib.metadata.version('rq')}"
    settings = "one SimpleWorker, results not kept, enqueue_many for batches"

    def __init__(self):
        self.connection = Redis.from_url(N["url"])
        self.queue = Queue(connection=self.connection)

    def add(self, i):
        self.queue.enqueue(stage.job, stage.data(i), result_ttl=0)

    def add_many(self, numbers):
        prepared = [Queue.prepare_data(stage.job, (stage.data(i),), result_ttl=0) for i in numbers]
        self.queue.enqueue_many(prepared)

    def work(self):
        SimpleWorker([self.queue], connection=Redis.from_url(N["url"])).work(logging_level="ERROR")


stage.run(Rq())
