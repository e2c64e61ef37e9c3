"""Dramatiq: eight worker threads, its default, looking for jobs every 20 ms when there were none."""

import importlib.metadata

import dramatiq
import stage
from dramatiq.brokers.redis import RedisBroker

N = stage.N
broker = RedisBroker(url=N["url"])
dramatiq.set_broker(broker)


@dramatiq.actor
def job(data):
    stage.job(data)


class Dramatiq:
    version = f"dramatiq {importlib.metadata.version('dramatiq')}"
    settings = "8 worker threads, worker_timeout 20 ms; jobs are added one by one"

    def add(self, i):
        job.send(stage.data(i))

    def add_many(self, numbers):
        for i in numbers:
            self.add(i)

    def work(self):
        dramatiq.Worker(broker, worker_timeout=20, worker_threads=8).start()
        stage.threading.Event().wait()


stage.run(Dramatiq())
