"""A session over WebSocket. Connections come and go; the session goes on from its last position."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answer import Answer
from .inbox import Inbox, Position
from .line import Line
from .problem import NoobleError, lost
from .retry import jitter

if TYPE_CHECKING:
    from .client import Nooble

# Seconds that a connection must hold before the waits begin at the shortest again.
STEADY = 5.0
# Most frames kept for tasks whose acceptance is still on its way, and most tasks whose attempts are counted.
EARLY, MOST_TASKS = 4096, 1024
EVENTS = ("frame", "gap", "restarted", "open", "close", "end")
_ENDED = frozenset(("completed", "failed", "timeout", "cancelled"))


@dataclass(frozen=True)
class Closed:
    """A connection that ended."""

    code: int
    reason: str
    # Seconds until the next one is tried.
    again: float


class Session:
    """One session of the tenant; `async with` waits until there is a connection, and says goodbye at the end.

    `auth` is how the socket proves who is there: `header`, `ticket` or `frame`. `ticket` gets a ticket, and asks the edge unless
    set. `position` is where to go on after, which an earlier session told; after the last acknowledged frame unless set.
    Acknowledgements are `ack_interval` seconds apart. After `heartbeat` seconds of silence the server is pinged; as long again in
    silence is a lost connection.
    """

    def __init__(
        self,
        client: Nooble,
        session_id: str,
        *,
        agent: str | None = None,
        user: str | None = None,
        auth: str = "header",
        ticket: Callable[[], Awaitable[str]] | None = None,
        position: Position | None = None,
        ack_interval: float = 0.25,
        heartbeat: float = 25.0,
    ) -> None:
        self.client, self.id = client, session_id
        self.agent, self.user = agent or client.agent, user or client.user
        self.auth, self.ticket, self.heartbeat = auth, ticket, heartbeat
        # Why the session is over; nothing while it is not.
        self.error: NoobleError | None = None
        self._inbox = Inbox(position, self._hand, ack_interval)
        self._handlers: dict[str, list[Callable[..., Any]]] = {name: [] for name in EVENTS}
        self._answers: dict[str, Answer] = {}
        self._requests: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._early: deque[dict[str, Any]] = deque(maxlen=EARLY)
        self._attempts: OrderedDict[str, int] = OrderedDict()
        self._asking = self._asked = 0
        self._line: Line | None = None
        self._changed = asyncio.Event()
        # Tasks that nobody holds may be collected before they end.
        self._beside: set[asyncio.Task[Any]] = set()
        self._running = asyncio.create_task(self._run())

    async def __aenter__(self) -> Session:
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def position(self) -> Position | None:
        """Everything up to here was handled: what to give as `position` to a session that goes on later."""
        return self._inbox.handled

    async def ready(self) -> None:
        """Waits until there is a connection; fails when the session is over."""
        while self._line is None:
            if self.error:
                raise self.error
            self._changed.clear()
            await self._changed.wait()

    def on(self, name: str, handler: Callable[..., Any]) -> Callable[[], None]:
        """Listens to `frame` (each frame once, in order), `gap` (data of the frame: what is gone for good), `restarted` (task,
        attempt: what was shown of its answer is void), `open` (position), `close` (`Closed`) or `end` (the error after which
        the session does not come back). A frame counts as handled, and is acknowledged, when its handlers have ended; they may
        be coroutines, which the next frame waits for. Returns a function that ends it."""
        self._handlers[name].append(handler)
        return lambda: self._handlers[name].remove(handler)

    def ask(self, message: str, **options: Any) -> Answer:
        """Asks an agent; `options` are those of `Nooble.send`. The message goes by REST, where it can be repeated without harm,
        and only where the client has no key of its own (tickets) as a frame; the answer comes over the socket."""
        answer = Answer()
        self._asking += 1
        self._spawn(self._ask(answer, message, options))
        return answer

    def follow(self, task_id: str) -> Answer:
        """Shows the answer of a task that is known already, from the session's position on."""
        answer = self._answers.get(task_id) or Answer()
        self._adopt(answer, task_id)
        self._spawn(self._look_up(answer))
        return answer

    async def send(self, message: str, **options: Any) -> dict[str, Any]:
        """Sends a message as a frame; `options` are the fields of the frame. When the connection breaks before the answer came,
        nobody knows whether it was taken: it fails with `connection_lost` and is not repeated."""
        data = {"message": message, "agent_id": self.agent, **options}
        return await self.request("send", {name: value for name, value in data.items() if value is not None})

    async def cancel(self, task_id: str, reason: str | None = None) -> dict[str, Any]:
        """Gives a task up."""
        return await self.request("cancel", {"task_id": task_id, **({"reason": reason} if reason else {})})

    async def subscribe(self, *, tasks: list[str] | None = None, agents: list[str] | None = None) -> dict[str, Any]:
        """Shows tasks of other sessions, or how an agent's tasks are getting on, until the connection ends."""
        return await self.request("subscribe", {"tasks": tasks or [], "agents": agents or []})

    async def unsubscribe(self, *, tasks: list[str] | None = None, agents: list[str] | None = None) -> dict[str, Any]:
        return await self.request("unsubscribe", {"tasks": tasks or [], "agents": agents or []})

    async def request(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """Sends a request in a frame, and waits for the answer that names it."""
        await self.ready()
        assert self._line is not None
        self._asked += 1
        request_id = f"r-{self._asked}"
        waiting = self._requests[request_id] = asyncio.get_running_loop().create_future()
        try:
            self._line.say({"type": kind, "data": {**data, "request_id": request_id}})
            return await waiting
        finally:
            self._requests.pop(request_id, None)

    async def close(self) -> None:
        """Says goodbye. What was handled is acknowledged before; answers that are still out fail with `closed`."""
        line = self._line
        self._inbox.flush()
        self._finish(NoobleError({"title": "Closed", "detail": "the session was closed here", "reason": "closed"}))
        if line is not None:
            await line.close()
        self._running.cancel()
        for task in self._beside:
            task.cancel()
        await asyncio.gather(self._running, *self._beside, return_exceptions=True)

    async def _ask(self, answer: Answer, message: str, options: dict[str, Any]) -> None:
        try:
            if self.client.key is None:
                accepted = await self.send(message, **options)
            else:
                who = {"agent": self.agent, "user": self.user}
                accepted = await self.client.send(message, **{**who, **options, "session": self.id})
            self._adopt(answer, accepted["task_id"])
        except NoobleError as error:
            answer.fail(error)
        finally:
            if answer.task_id is None:
                answer.fail(lost("the message was not sent"))
            self._asking -= 1
            if self._asking == 0:
                self._early.clear()

    async def _run(self) -> None:
        attempt = 0
        while not self.error:
            began = time.monotonic()
            opened, code, reason, wait = False, 1006, "", 0.0
            try:
                # Who is behind with what came already does not ask for more.
                await self._inbox.room()
                opened, code, reason = await self._connect()
            except NoobleError as error:
                # Another ticket may do.
                if error.is_final and error.field != "ticket":
                    return self._end(error)
                wait = error.retry_after or 0.0
            except OSError:
                pass
            except Exception as error:
                # Nobody looks at this task: a mistake, such as an address that is none, is shown to who uses the session.
                body = {"title": "The session failed", "detail": repr(error), "reason": "client_failed"}
                return self._end(NoobleError(body))
            if 4500 <= code <= 4999:
                title = "The socket was closed for good"
                body = {"title": title, "detail": f"{title}: {code} {reason}", "reason": reason or "closed"}
                return self._end(NoobleError(body, close_code=code))
            if opened and time.monotonic() - began > STEADY:
                attempt = 0
            told = re.search(r"retry_after_ms=(\d+)", reason)
            again = int(told[1]) / 1000 if told else wait + jitter(attempt)
            attempt += 1
            self._spawn(self._emit("close", Closed(code, reason, again)))
            await asyncio.sleep(again)

    async def _connect(self) -> tuple[bool, int, str]:
        """One connection, from its beginning to its end."""
        line = await Line.open(self, self._inbox.received)
        try:
            async for frame in line:
                self._take(line, frame)
        finally:
            self._line = None
            self._inbox.speak(None)
            for waiting in self._requests.values():
                if not waiting.done():
                    waiting.set_exception(lost("the connection broke before the answer came"))
            await line.close()
        return True, line.code, line.reason

    def _take(self, line: Line, frame: dict[str, Any]) -> None:
        """Takes a frame as it comes."""
        if self.error:
            return line.drop()
        if frame["type"] == "connection_ack":
            position = self._inbox.begin(Position(frame["epoch"], frame["seq"]))
            self._line = line
            self._inbox.speak(lambda position: line.say({"type": "ack", "data": position._asdict()}))
            self._changed.set()
            self._spawn(self._emit("open", position))
            return
        asked = (frame.get("metadata") or {}).get("request_id")
        if asked is not None and frame.get("seq") is None:
            waiting = self._requests.get(asked)
            if waiting is not None and not waiting.done():
                refused = frame["type"] == "error"
                waiting.set_exception(_refusal(frame["data"])) if refused else waiting.set_result(frame["data"])
            return
        if not self._inbox.admit(frame):
            return
        if frame["type"] == "gap":
            for answer in self._answers.values():
                self._spawn(self._look_up(answer))
        self._tell(frame)
        if not self._inbox.put(frame):
            line.drop()

    def _tell(self, frame: dict[str, Any]) -> None:
        """Shows a frame to the answer that it belongs to."""
        task_id = frame.get("task_id")
        if task_id is None or (frame.get("metadata") or {}).get("subscription") == "agent":
            return
        answer = self._answers.get(task_id)
        if answer is not None:
            answer.take(frame)
            self._forget(answer)
        elif self._asking:
            self._early.append(frame)

    def _adopt(self, answer: Answer, task_id: str) -> None:
        if self.error:
            return answer.fail(self.error)
        answer.named(task_id)
        self._answers[task_id] = answer
        for frame in self._early:
            if frame["task_id"] == task_id:
                answer.take(frame)
        self._forget(answer)

    def _forget(self, answer: Answer) -> None:
        if answer.is_over and answer.task_id is not None:
            self._answers.pop(answer.task_id, None)

    async def _look_up(self, answer: Answer) -> None:
        """Asks for the task itself, where frames are gone."""
        if answer.task_id is None or self.client.key is None:
            return
        try:
            answer.settle(await self.client.task(answer.task_id))
        except NoobleError as error:
            if error.is_final:
                answer.fail(error)
        self._forget(answer)

    async def _hand(self, frame: dict[str, Any]) -> None:
        """Shows a frame to the application."""
        data, task_id = frame["data"], frame.get("task_id")
        if frame["type"] == "gap":
            await self._emit("gap", data)
        attempt = data.get("attempt")
        if task_id is not None and attempt is not None:
            before = self._attempts.get(task_id, 0)
            if 0 < before < attempt:
                await self._emit("restarted", task_id, attempt)
            self._attempts[task_id] = max(before, attempt)
            # The ends of some tasks may be gone.
            if len(self._attempts) > MOST_TASKS:
                self._attempts.popitem(last=False)
        if frame["type"] in ("agent_response", "error") or data.get("status") in _ENDED:
            self._attempts.pop(task_id, None)
        await self._emit("frame", frame)

    async def _emit(self, name: str, *told: Any) -> None:
        for handler in list(self._handlers[name]):
            try:
                result = handler(*told)
                if inspect.isawaitable(result):
                    await result
            except Exception as error:
                # A mistake of one handler is its own; it is shown where uncaught errors are.
                context = {"message": f"a handler of {name!r} failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _end(self, error: NoobleError) -> None:
        self._finish(error)
        self._spawn(self._emit("end", error))

    def _finish(self, error: NoobleError) -> None:
        if self.error:
            return
        self.error = error
        self._inbox.stop()
        for answer in self._answers.values():
            answer.fail(error)
        self._answers.clear()
        for waiting in self._requests.values():
            if not waiting.done():
                waiting.set_exception(error)
        self._changed.set()


def _refusal(data: dict[str, Any]) -> NoobleError:
    """Reads the frame that refuses a request."""
    facts = {"title": "Request refused", "detail": data.get("error"), "reason": data.get("reason") or data.get("error_code")}
    return NoobleError({**data, **facts})
