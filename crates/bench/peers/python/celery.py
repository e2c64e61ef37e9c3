"""Celery: the pool of threads, eight of them, without results, events, gossip and mingling."""

import importlib.metadata

import stage
from celery import Celery

N = stage.N
URL = N["url"].replace("unix://", "redis+socket://")
app = Celery("bench", broker=URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=16,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="job")
def job(data):
    stage.job(data)


class OfCelery:
    version = f"celery {importlib.metadata.version('celery')}"
    settings = "threads pool of 8, prefetch 16 a thread, no results; jobs are added one by one over one connection"

    def __init__(self):
        self.producer = app.amqp.Producer(app.connection_for_write())

    def add(self, i):
        job.apply_async((stage.data(i),), producer=self.producer)

    def add_many(self, numbers):
        for i in numbers:
            self.add(i)

    def work(self):
        app.Worker(
            pool="threads",
            concurrency=8,
            loglevel="ERROR",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        ).start()


stage.run(OfCelery())
