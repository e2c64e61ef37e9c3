"""REST: messages in, tasks out."""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from .limits import Limit, limits_of
from .problem import NoobleError, lost
from .retry import jitter
from .session import Session

# Longest `Retry-After` in seconds that is waited for.
LONGEST_WAIT = 120
ENDED = frozenset(("completed", "failed", "timeout", "cancelled"))


@dataclass(frozen=True)
class TaskEvent:
    """What happens to a task: `task` (the whole task), or a frame as a session shows it."""

    type: str
    # Position of a frame; goes into `last_event_id`.
    id: str | None
    data: dict[str, Any]


class Nooble:
    """A tenant at the edge. Use it as `async with`, or call `close`.

    `key` is an API key or a token; a function is asked each time, so that a token can be renewed. Without one only sessions by
    tickets of somebody else are to be had. `timeout` is the longest time in seconds that the server may be silent in one try.
    """

    def __init__(
        self,
        url: str,
        *,
        tenant: str,
        tier: str,
        key: str | Callable[[], str | Awaitable[str]] | None = None,
        agent: str | None = None,
        user: str | None = None,
        retries: int = 4,
        timeout: float = 30.0,
    ) -> None:
        self.url = url.rstrip("/")
        self.tenant, self.tier, self.agent, self.user = tenant, tier, agent, user
        self.key = key
        self._retries = retries
        self._http = httpx.AsyncClient(base_url=self.url, timeout=timeout)
        self._limits: list[Limit] = []

    async def __aenter__(self) -> Nooble:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def credential(self) -> str | None:
        """The credential of now."""
        key = self.key() if callable(self.key) else self.key
        return await key if inspect.isawaitable(key) else key

    async def send(
        self,
        message: str,
        *,
        session: str,
        agent: str | None = None,
        user: str | None = None,
        conversation: str | None = None,
        collection: str | None = None,
        context: str | None = None,
        user_info: dict[str, Any] | None = None,
        max_iterations: int | None = None,
        idempotency_key: str | None = None,
        wait_when_limited: bool = False,
    ) -> dict[str, Any]:
        """Sends a message to an agent and returns what it became (`task_id`, `queue_name`, `estimated_time`). It becomes one
        task, however often it had to be sent. `wait_when_limited` waits for `Retry-After` when a limit is reached."""
        headers = {
            "X-Tenant-ID": self.tenant,
            "X-Tenant-Tier": self.tier,
            "X-Session-ID": session,
            "X-Agent-ID": agent or self.agent,
            "X-User-ID": user or self.user,
            "X-Conversation-ID": conversation,
            "X-Collection-ID": collection,
            "X-Context-Type": context,
            "Idempotency-Key": idempotency_key or uuid.uuid4().hex,
        }
        body = {"message": message, "user_info": user_info, "max_iterations": max_iterations}
        body = {name: value for name, value in body.items() if value is not None}
        return await self._json("POST", "/api/chat/send", headers, body, wait_when_limited)

    async def task(self, task_id: str) -> dict[str, Any]:
        """Returns a task."""
        return await self._json("GET", f"/api/v1/tasks/{quote(task_id, safe='')}")

    async def cancel(self, task_id: str, reason: str | None = None) -> dict[str, Any]:
        """Gives a task up, and returns it. One that has ended otherwise is refused with `TASK_FINISHED`."""
        body = {} if reason is None else {"reason": reason}
        try:
            return await self._json("POST", f"/api/v1/tasks/{quote(task_id, safe='')}/cancel", body=body)
        except NoobleError as error:
            # An earlier try may have done it, and its answer may have been lost.
            if error.reason != "TASK_FINISHED":
                raise
            task = await self.task(task_id)
            if task["status"] != "cancelled":
                raise
            return task

    async def ticket(self, session: str | None = None) -> str:
        """Gets a ticket, which opens one socket within 30 seconds; for the session that is named, or any."""
        headers = {"X-Tenant-ID": self.tenant, "X-Tenant-Tier": self.tier, "X-User-ID": self.user}
        body = {} if session is None else {"session_id": session}
        return (await self._json("POST", "/api/v1/ws-tickets", headers, body))["ticket"]

    def session(self, session_id: str, **options: Any) -> Session:
        """Opens a session, which stays open through lost connections; see `Session` for the options."""
        return Session(self, session_id, **options)

    def rate_limit(self) -> list[Limit]:
        """Returns the limits as the last answer told them; empty for a tier without any, and before the first answer."""
        return self._limits

    async def events(self, task_id: str, *, last_event_id: str | None = None) -> AsyncIterator[TaskEvent]:
        """Follows a task until it ends. A stream that breaks is taken up after the last event that came; no frame comes twice.
        A `task` comes first (on every connection) and last."""
        path, last, attempt = f"/api/v1/tasks/{quote(task_id, safe='')}/events", last_event_id, 0
        while True:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
            tasks, wait = 0, 0.0
            try:
                async with self._stream(path, headers) as response:
                    async for event in _server_events(response):
                        if event.type != "problem":
                            attempt = 0
                        if event.id is not None and event.id == last:
                            continue
                        if event.type == "problem":
                            problem = NoobleError(event.data)
                            if problem.reason == "CREDENTIAL_EXPIRED":
                                # The credential of now may be another one.
                                break
                            raise problem
                        yield event
                        last = event.id or last
                        tasks += event.type == "task"
                        # The first one only says how it stands.
                        if event.type == "task" and tasks > 1 and event.data["status"] in ENDED:
                            return
            except NoobleError as error:
                if error.status not in (0, 503):
                    raise
                wait = error.retry_after or 0.0
            except httpx.TransportError:
                pass
            if attempt >= self._retries:
                raise lost("the stream of events breaks again and again")
            await asyncio.sleep(wait + jitter(attempt))
            attempt += 1

    async def _json(
        self,
        method: str,
        path: str,
        headers: dict[str, str | None] | None = None,
        body: dict[str, Any] | None = None,
        wait_when_limited: bool = False,
    ) -> dict[str, Any]:
        attempt = 0
        while True:
            try:
                response = await self._http.request(method, path, headers=await self._headers(headers), json=body)
                self._note(response)
                if response.is_success:
                    return response.json()
                error = NoobleError.of(response.status_code, response.headers, response.content)
            except httpx.TransportError as cause:
                error = lost("the server cannot be reached")
                error.__cause__ = cause
            again = error.status in (0, 503) or (error.status == 429 and wait_when_limited)
            seconds = error.retry_after or 0
            if not again or attempt >= self._retries or seconds > LONGEST_WAIT:
                raise error
            await asyncio.sleep(seconds + jitter(attempt))
            attempt += 1

    @asynccontextmanager
    async def _stream(self, path: str, headers: dict[str, str | None]) -> AsyncIterator[httpx.Response]:
        # The server says something every 15 s, so that a longer silence is a lost connection.
        async with self._http.stream("GET", path, headers=await self._headers(headers)) as response:
            self._note(response)
            if not response.is_success:
                raise await NoobleError.of_response(response)
            yield response

    async def _headers(self, headers: dict[str, str | None] | None) -> dict[str, str]:
        key = await self.credential()
        given = {name: value for name, value in (headers or {}).items() if value is not None}
        return given if key is None else {**given, "Authorization": f"Bearer {key}"}

    def _note(self, response: httpx.Response) -> None:
        self._limits = limits_of(response.headers) or self._limits


async def _server_events(response: httpx.Response) -> AsyncIterator[TaskEvent]:
    """Reads server-sent events until the stream ends. One that broke off is none."""
    kind, data, position = "message", [], None
    rest = ""
    async for text in response.aiter_text():
        *lines, rest = (rest + text).split("\n")
        for line in (line.removesuffix("\r") for line in lines):
            if not line:
                if data:
                    yield TaskEvent(kind, position, json.loads("\n".join(data)))
                kind, data, position = "message", [], None
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "id":
                position = value
