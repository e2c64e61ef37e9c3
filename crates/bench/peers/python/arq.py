"""arq: one asyncio process, `max_jobs` at once, polling every 10 ms (its default of 500 ms would be its latency)."""

import asyncio
import importlib.metadata
import os
import time
from urllib.parse import urlparse

import stage
from arq.connections import RedisSettings, create_pool
from arq.worker import Worker, func

N = stage.N


def redis_settings():
    url = urlparse(N["url"])
    if url.scheme == "unix":
        return RedisSettings(unix_socket_path=url.path)
    return RedisSettings(host=url.hostname, port=url.port)


class Arq:
    version = f"arq {importlib.metadata.version('arq')}"
    settings = f"max_jobs {N.get('concurrency', '-')}, poll_delay 10 ms, results not kept; jobs are added one by one"


async def job(ctx, data):
    stage.job(data)


async def add_many(pool, numbers):
    await asyncio.gather(*(pool.enqueue_job("job", stage.data(i)) for i in numbers))


async def until(enough, seconds=1e9):
    end = time.monotonic() + seconds
    while stage.COUNTER.done < enough and time.monotonic() < end:
        await asyncio.sleep(0.001)


def worker():
    one = Worker(
        functions=[func(job, name="job", keep_result=0)],
        redis_settings=redis_settings(),
        max_jobs=N["concurrency"],
        poll_delay=0.01,
        handle_signals=False,
        queue_read_limit=N["concurrency"] * 2,
    )
    asyncio.ensure_future(one.async_run())


async def fill(pool, in_flight):
    for first in range(0, N["jobs"], in_flight):
        await add_many(pool, range(first, min(N["jobs"], first + in_flight)))


async def enqueue(pool):
    stage.ready(Arq)
    start = time.monotonic()
    await fill(pool, max(N["batch"], N["in_flight"]))
    stage.end(N["jobs"], time.monotonic() - start)


async def drain(pool):
    await fill(pool, 100)
    stage.ready(Arq)
    start = time.monotonic()
    worker()
    await until(N["jobs"])
    stage.end(stage.COUNTER.done, time.monotonic() - start)


async def end_to_end(pool):
    stage.ready(Arq)
    start = time.monotonic()
    worker()
    added, batch = 0, N["batch"]
    while time.monotonic() - start < N["seconds"]:
        await until(added + batch - N["window"])
        await add_many(pool, range(added, added + batch))
        added += batch
    await until(added)
    stage.end(added, time.monotonic() - start)


async def pickup(pool):
    (first,) = stage.ready(Arq)
    first = int(first)
    worker()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", buffering=0))
    added = 0
    while added < N["jobs"]:
        released = len(await reader.read(4096))
        if not released:
            os._exit(0)
        for i in range(added, min(N["jobs"], added + released)):
            asyncio.ensure_future(pool.enqueue_job("job", stage.data(i)))
        added += released
    await until(N["jobs"], 3)
    stage.end(N["jobs"], (time.monotonic_ns() - first) / 1e9, waits_us=stage.waits(first))


async def main():
    pool = await create_pool(redis_settings())
    await {"enqueue": enqueue, "drain": drain, "end_to_end": end_to_end, "pickup": pickup}[stage.SCENARIO](pool)
    os._exit(0)


asyncio.run(main())
