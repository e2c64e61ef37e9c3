"""One answer of an agent, put together while it is being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass
from typing import Any

from .problem import NoobleError

_ENDED = frozenset(("completed", "failed", "timeout", "cancelled"))


@dataclass(frozen=True)
class Delta:
    """Something new of an answer."""

    # What is to be appended. Pieces that nobody has taken yet come together.
    text: str
    # What was shown before is void: an attempt failed, and the next one begins anew.
    restarted: bool


class Answer:
    """An answer: `await` gives the whole (the data of `agent_response`), `async for` its pieces, and `text` what is known now.

    It goes on by itself whether anybody looks or not. It fails with a `NoobleError` when the task ends without an answer or
    the session is over.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._accepted: asyncio.Future[str] = loop.create_future()
        self._whole: asyncio.Future[dict[str, Any]] = loop.create_future()
        # Who looks at neither shall not be told of it when they are collected.
        for future in (self._accepted, self._whole):
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._changed = asyncio.Event()
        self._attempt, self._index = 0, -1
        self._fresh, self._restarted = "", False
        # Everything of the present attempt; in the end the whole answer.
        self.text = ""
        self.task_id: str | None = None

    @property
    def is_over(self) -> bool:
        return self._whole.done()

    async def accepted(self) -> str:
        """Waits until the message was accepted; returns the task that it became."""
        return await asyncio.shield(self._accepted)

    def __await__(self) -> Generator[Any, None, dict[str, Any]]:
        return asyncio.shield(self._whole).__await__()

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """Pieces until the answer is whole. To be looped over once: a piece is given once."""
        while True:
            if self._fresh or self._restarted:
                piece = Delta(self._fresh, self._restarted)
                self._fresh, self._restarted = "", False
                yield piece
                continue
            if self._whole.done():
                self._whole.result()
                return
            self._changed.clear()
            await self._changed.wait()

    def named(self, task_id: str) -> None:
        self.task_id = task_id
        if not self._accepted.done():
            self._accepted.set_result(task_id)

    def take(self, frame: dict[str, Any]) -> None:
        """Takes a frame of its task."""
        if self.is_over:
            return
        kind, data = frame["type"], frame["data"]
        if kind == "agent_delta":
            self._piece(data["attempt"], data["index"], data["text"])
        elif kind == "agent_response":
            self._end(data)
        elif kind == "task_update":
            self._begin(data.get("attempt") or 0)
            if data["status"] == "completed":
                self._end({"response": self.text, "sources": [], **data})
            elif data["status"] in _ENDED:
                self.fail(self._failure(data["status"], data.get("message")))
        elif kind == "error":
            self.fail(self._failure(data["error_code"], data["error"], data))
        self._changed.set()

    def settle(self, task: dict[str, Any]) -> None:
        """Takes what the task's record says, where frames are gone."""
        status = task["status"]
        if self.is_over or status not in _ENDED:
            return
        if status == "completed":
            record = {"task_id": task["task_id"], "status": status}
            self._end({"response": "", "sources": [], **(task["result"] or {}), **record})
        else:
            error = task["error"] or {}
            self.fail(self._failure(error.get("reason") or status, error.get("message"), error))
        self._changed.set()

    def fail(self, error: NoobleError) -> None:
        for future in (self._accepted, self._whole):
            if not future.done():
                future.set_exception(error)
        self._changed.set()

    def _failure(self, reason: str, detail: str | None, body: dict[str, Any] | None = None) -> NoobleError:
        detail = detail or f"the task ended as {reason}"
        facts = {"type": "about:blank", "title": "No answer", "reason": reason, "detail": detail}
        return NoobleError({**(body or {}), **facts, "status": 0}, task_id=self.task_id)

    def _begin(self, attempt: int) -> None:
        if attempt > self._attempt:
            self._attempt, self._index = attempt, -1
            self._replace("")

    def _piece(self, attempt: int, index: int, text: str) -> None:
        self._begin(attempt)
        if attempt < self._attempt or index <= self._index:
            return
        self._index = index
        self.text += text
        self._fresh += text

    def _end(self, answer: dict[str, Any]) -> None:
        # Whoever puts the pieces together shall have the whole, also when some are gone.
        if answer["response"].startswith(self.text):
            self._fresh += answer["response"][len(self.text) :]
        else:
            self._replace(answer["response"])
        self.text = answer["response"]
        self._whole.set_result(answer)

    def _replace(self, text: str) -> None:
        # Who has been given nothing has nothing to forget.
        self._restarted = len(self.text) > len(self._fresh) or self._restarted
        self._fresh = self.text = text
