"""What the Python peers share: the numbers, the data of a job, the protocol, and the scenarios.

`python peer.py SCENARIO NUMBERS`; see the README beside the Rust sources. A peer is an object with

* `version`, `settings`
* `add(i)` and `add_many(numbers)`: put jobs into its queue; each calls `job(data)` when it is worked on
* `work()`: works until the process ends, in the main thread

The jobs' function counts and lies here, because some libraries want to import it by name.
"""

import json
import os
import sys
import threading
import time

SCENARIO = sys.argv[1] if len(sys.argv) > 2 else ""
N = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
TIERS = ["enterprise", "professional", "advance", "free"]


class Counter:
    """Counts finished jobs and wakes whoever waits for a number of them."""

    def __init__(self):
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.done = 0
        self.starts = [0] * N.get("jobs", 0) if SCENARIO == "pickup" else []

    def count(self, i):
        now = time.monotonic_ns()
        with self.lock:
            if i < len(self.starts):
                self.starts[i] = now
            self.done += 1
            self.changed.notify_all()

    def wait(self, enough, timeout=None):
        with self.lock:
            return self.changed.wait_for(lambda: self.done >= enough, timeout)


COUNTER = Counter()


def job(data):
    """The work: nothing but being counted."""
    COUNTER.count(data["i"])


def data(i):
    """As long as the stored body of ours, and saying the same: for whom, in which context, what."""
    tenant = i // N["tiers"] % N["tenants_per_tier"]
    text = {
        "i": i,
        "tenant": f"tenant-{tenant}",
        "tier": TIERS[i % N["tiers"]],
        "context": f"agent-{i % N['contexts']}",
        "query": "",
    }
    text["query"] = "x" * max(0, N["body"] - len(json.dumps(text, separators=(",", ":"))))
    return text


def say(line):
    text = (json.dumps(line) + "\n").encode()
    while text:
        text = text[os.write(1, text):]


def ready(peer):
    say({"phase": "ready", "settings": peer.settings, "version": peer.version})
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(0)
        line += byte
    return line.decode().split()[1:]


def end(jobs, seconds, **more):
    say({"phase": "end", "jobs": jobs, "seconds": seconds, **more})


def enqueue(peer, start_working):
    ready(peer)
    start = time.monotonic()
    fill(peer, N["batch"])
    end(N["jobs"], time.monotonic() - start)


def fill(peer, batch):
    if batch == 1:
        for i in range(N["jobs"]):
            peer.add(i)
        return
    for first in range(0, N["jobs"], batch):
        peer.add_many(range(first, min(N["jobs"], first + batch)))


def drain(peer, start_working):
    fill(peer, 100)
    ready(peer)
    start = time.monotonic()
    start_working()
    COUNTER.wait(N["jobs"])
    end(COUNTER.done, time.monotonic() - start)


def end_to_end(peer, start_working):
    ready(peer)
    start = time.monotonic()
    start_working()
    added, batch = 0, N["batch"]
    while time.monotonic() - start < N["seconds"]:
        COUNTER.wait(added + batch - N["window"])
        peer.add_many(range(added, added + batch))
        added += batch
    COUNTER.wait(added)
    end(added, time.monotonic() - start)


def pickup(peer, start_working):
    (first,) = ready(peer)
    first = int(first)
    start_working()
    added = 0
    while added < N["jobs"]:
        released = len(os.read(0, 4096))
        if not released:
            os._exit(0)
        for i in range(added, min(N["jobs"], added + released)):
            peer.add(i)
        added += released
    COUNTER.wait(N["jobs"], timeout=3)
    end(N["jobs"], (time.monotonic_ns() - first) / 1e9, waits_us=waits(first))


def waits(first):
    due = lambda i: first + i * N["period_ns"]
    return [max(0, at - due(i)) / 1000 if at else None for i, at in enumerate(COUNTER.starts)]


def run(peer):
    """Runs the scenario beside the worker, which wants the main thread."""
    go = threading.Event()

    def drive():
        try:
            {"enqueue": enqueue, "drain": drain, "end_to_end": end_to_end, "pickup": pickup}[SCENARIO](peer, go.set)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)

    threading.Thread(target=drive, daemon=True).start()
    go.wait()
    peer.work()
