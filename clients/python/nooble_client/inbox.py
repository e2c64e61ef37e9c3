"""What came, what of it was handled, and what of that the server knows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

# Most frames that wait for the application before the connection is let go: the server's log holds them as well.
MOST = 4096


class Position(NamedTuple):
    """A place in the log of a session."""

    epoch: str
    seq: int


class Inbox:
    """Knows no connection; `speak` gives it one to acknowledge over."""

    def __init__(self, position: Position | None, hand: Callable[[dict[str, Any]], Awaitable[None]], pause: float) -> None:
        # Everything up to here came, and was handled.
        self.received = self.handled = position and Position(*position)
        self._acknowledged: Position | None = None
        self._hand, self._pause = hand, pause
        self._waiting: deque[dict[str, Any]] = deque()
        self._work: asyncio.Task[None] | None = None
        self._say: Callable[[Position], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, position: Position) -> Position:
        """A connection begins where the server says, unless it is known better."""
        if self.received is None:
            self.received = self.handled = self._acknowledged = position
        return self.received

    def speak(self, say: Callable[[Position], None] | None) -> None:
        """There is a connection to acknowledge over, or none any more."""
        self._say = say
        if say:
            self._acknowledge_soon()

    def admit(self, frame: dict[str, Any]) -> bool:
        """Notes where a frame stands; tells no when it came before."""
        position = _position_of(frame)
        if position is None:
            return True
        before = self.received
        if before is not None and before.epoch == position.epoch and position.seq <= before.seq:
            return False
        self.received = position
        return True

    def put(self, frame: dict[str, Any]) -> bool:
        """Takes a frame for the application; tells no when too many wait already."""
        self._waiting.append(frame)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._go())
        return len(self._waiting) < MOST

    async def room(self) -> None:
        """Waits until the application has come to the end of what is there, where that is much."""
        if self._work is not None and len(self._waiting) >= MOST:
            await asyncio.wait([self._work])

    def flush(self) -> None:
        """Acknowledges now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now, before = self.handled, self._acknowledged
        if self._say is None or now is None or (before and before.epoch == now.epoch and before.seq >= now.seq):
            return
        self._acknowledged = now
        self._say(now)

    def stop(self) -> None:
        """Hands nothing more to the application."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    async def _go(self) -> None:
        while self._waiting:
            frame = self._waiting[0]
            await self._hand(frame)
            if not self._waiting:
                return
            self._waiting.popleft()
            if position := _position_of(frame):
                self.handled = position
                self._acknowledge_soon()

    def _acknowledge_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self.flush)


def _position_of(frame: dict[str, Any]) -> Position | None:
    """A frame of the log has a position; a gap has the one after which frames go on. What was subscribed to belongs to another log."""
    epoch, seq = frame.get("epoch"), frame.get("seq")
    if epoch is None or seq is None or (frame.get("metadata") or {}).get("subscription") is not None:
        return None
    return Position(epoch, seq)
