"""A worker for Nooble: leases actions of a domain over the `Work` stream, runs handlers, and settles what they return."""

import logging
import pathlib
import queue
import random
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc_tools
from google.protobuf import duration_pb2
from grpc_tools import protoc

log = logging.getLogger("worker")


def _make_stubs():
    """Generates the code of the contract into a folder that goes with the process."""
    root = pathlib.Path(__file__).resolve().parents[2] / "proto"
    folder = tempfile.TemporaryDirectory(prefix="nooble-stubs-")
    known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    files = [str(path.relative_to(root)) for path in sorted(root.rglob("*.proto"))]
    options = [f"-I{root}", f"-I{known}", f"--python_out={folder.name}", f"--grpc_python_out={folder.name}"]
    if protoc.main(["protoc", *options, *files]) != 0:
        raise RuntimeError(f"the contract in {root} cannot be compiled")
    sys.path.insert(0, folder.name)
    return folder


_stubs = _make_stubs()

from nooble.queue.v1 import queue_service_pb2_grpc, work_pb2  # noqa: E402

#: Trying again does not help against these.
FATAL = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
}


class Failed(Exception):
    """Raised by a handler whose action cannot be done. `reason` is one of the contract's, `retry_after` are seconds."""

    def __init__(self, reason, message, retry=False, retry_after=None):
        super().__init__(message)
        self.reason, self.message, self.retry, self.retry_after = reason, message, retry, retry_after


class Lease:
    """One action, as its handler sees it."""

    def __init__(self, leased):
        self.id = leased.lease_id
        #: The action: whose it is, in which context, its attempt (`action.queue.attempt`), its trace.
        self.action = leased.action
        #: Set when there is no use in going on. A handler that takes long looks at it now and then.
        self.stopped = threading.Event()


class Worker:
    """Leases actions of one domain and runs up to `concurrency` handlers at once, each on a thread."""

    def __init__(self, address, key, domain, concurrency=4, name="", grace=20.0):
        self.address, self.key, self.domain, self.name = address, key, domain, name
        self.concurrency, self.grace = concurrency, grace
        self._handlers = {}
        self._stop = threading.Event()
        self._stream = None
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="action")

    def on(self, action_type, payload):
        """Registers the handler of an action type. It gets the lease and the payload, and returns the reply."""

        def register(handler):
            self._handlers[action_type] = (payload, handler)
            return handler

        return register

    def stop(self):
        """Takes no more, lets what runs end, and has `run` return. May be called by a signal's handler."""
        self._stop.set()
        stream = self._stream
        if stream:
            stream.close_when_idle()
            # What does not end in time is given back to be done by others.
            timer = threading.Timer(self.grace, stream.close)
            timer.daemon = True
            timer.start()

    def run(self):
        """Works until `stop`, and connects again whenever the stream ends."""
        pause = 0.2
        while not self._stop.is_set():
            self._stream = _Stream(self)
            try:
                self._stream.serve()
            except grpc.RpcError as error:
                if error.code() in FATAL:
                    raise
                log.warning("the stream ended: %s: %s", error.code().name, error.details())
            if self._stream.opened:
                pause = 0.2
            # Jittered, so that workers do not come back all at once.
            self._stop.wait(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 10.0)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def handle(self, lease):
        """Runs the handler of an action and returns how it ended."""
        found = self._handlers.get(lease.action.action_type)
        if not found:
            return {"fail": _fail("UNKNOWN_ACTION_TYPE", f"no handler of {lease.action.action_type} here", False)}
        payload_type, handler = found
        payload = payload_type()
        if not lease.action.payload.Unpack(payload):
            return {"fail": _fail("PAYLOAD_MISMATCH", "the payload is not what the action type takes", False)}
        try:
            reply = handler(lease, payload)
        except Failed as failed:
            return {"fail": _fail(failed.reason, failed.message, failed.retry, failed.retry_after)}
        except Exception:  # The worker outlives a handler that is at fault.
            log.exception("the handler of %s failed", lease.action.action_type)
            return {"fail": _fail("INTERNAL", "an unexpected error happened", False)}
        complete = work_pb2.Complete()
        complete.result.Pack(reply)
        return {"complete": complete}


class _Stream:
    """One stream, from the connection to its end."""

    def __init__(self, worker):
        self.worker = worker
        self.opened = False
        self._out = queue.SimpleQueue()
        self._leases = {}
        self._lock = threading.RLock()
        self._leaving = worker._stop.is_set()
        self._over = threading.Event()

    def serve(self):
        worker = self.worker
        self._say(open=work_pb2.Open(domain=worker.domain, credits=worker.concurrency, worker_name=worker.name))
        metadata = [("authorization", f"Bearer {worker.key}")]
        with grpc.insecure_channel(worker.address) as channel:
            answers = queue_service_pb2_grpc.QueueServiceStub(channel).Work(iter(self._out.get, None), metadata=metadata)
            try:
                for answer in answers:
                    getattr(self, "_" + answer.WhichOneof("message"))(getattr(answer, answer.WhichOneof("message")))
            finally:
                self._over.set()
                self.close()
                for lease in list(self._leases.values()):
                    lease.stopped.set()

    def close(self):
        """Closes this side: what is not settled is given back."""
        self._out.put(None)

    def close_when_idle(self):
        with self._lock:
            self._leaving = True
            if not self._leases:
                self.close()

    def _say(self, **message):
        self._out.put(work_pb2.WorkRequest(**message))

    def _opened(self, opened):
        self.opened = True
        log.info("connected to %s for %s", self.worker.address, self.worker.domain)
        threading.Thread(target=self._beat, args=(opened.heartbeat.ToTimedelta().total_seconds(),), daemon=True).start()

    def _beat(self, every):
        while not self._over.wait(every):
            self._say(heartbeat=work_pb2.Heartbeat())

    def _leased(self, leased):
        with self._lock:
            if self._leaving:
                fence = leased.action.queue.fence
                self._say(settle=work_pb2.Settle(lease_id=leased.lease_id, fence=fence, release=work_pb2.Release()))
                return
            lease = self._leases[leased.lease_id] = Lease(leased)
        self.worker._threads.submit(self._work, lease)

    def _work(self, lease):
        verdict = self.worker.handle(lease)
        with self._lock:
            if not lease.stopped.is_set():
                fence = lease.action.queue.fence
                self._say(settle=work_pb2.Settle(lease_id=lease.id, fence=fence, **verdict))
            self._leases.pop(lease.id, None)
            if not self._leaving:
                self._say(credit=work_pb2.Credit(credits=1))
            elif not self._leases:
                self.close()

    def _settled(self, settled):
        if settled.result != work_pb2.SETTLE_RESULT_OK:
            log.warning("not settled: %s %s", work_pb2.SettleResult.Name(settled.result), settled.message)

    def _stop(self, stop):
        lease = self._leases.get(stop.lease_id)
        if lease:
            log.info("told to stop: %s %s", work_pb2.Stop.Cause.Name(stop.cause), stop.reason)
            lease.stopped.set()

    def _drain(self, drain):
        log.info("the server is going away: another stream is opened when what runs has ended")
        self.close_when_idle()


def _fail(reason, message, retry, retry_after=None):
    fail = work_pb2.Fail(retry=retry)
    fail.error.reason, fail.error.message = reason, message
    if retry_after is not None:
        after = duration_pb2.Duration()
        after.FromMilliseconds(int(retry_after * 1000))
        fail.error.retry_after.CopyFrom(after)
    return fail
