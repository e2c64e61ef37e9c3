"""One connection: how it is opened, kept alive, and what it ended with."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from .inbox import Position
from .problem import NoobleError, lost

if TYPE_CHECKING:
    from .session import Session

# Most bytes of one frame of the server; answers are far smaller.
MOST_BYTES = 16 * 1024 * 1024
# Longest time until the server must have let us in.
GREETING = 15.0


async def _gotten(get: Callable[[], Awaitable[Any]]) -> Any:
    """What the application gets from elsewhere may fail as everything that goes over a network does: it is tried again."""
    try:
        return await get()
    except NoobleError:
        raise
    except Exception as cause:
        raise lost("the credential could not be had") from cause


class Line:
    """Made by `open`; looping over it gives its frames until it ends, and `code` and `reason` say with what."""

    def __init__(self, socket: ClientConnection, heartbeat: float) -> None:
        self._socket, self._heartbeat = socket, heartbeat
        self._dropped = False
        self._saying: asyncio.Queue[str] = asyncio.Queue()
        self._speaker = asyncio.create_task(self._speak())

    @classmethod
    async def open(cls, session: Session, after: Position | None) -> Line:
        """Opens a connection that goes on after a position. A refusal is a `NoobleError` with what the server said."""
        client = session.client
        query: dict[str, Any] = {"tenant_id": client.tenant, "tier": client.tier}
        query |= {} if session.agent is None else {"agent_id": session.agent}
        query |= {} if session.user is None else {"user_id": session.user}
        query |= {} if after is None else {"epoch": after.epoch, "seq": after.seq}
        headers, key = {}, None
        if session.auth == "ticket":
            query["ticket"] = await _gotten(session.ticket or (lambda: client.ticket(session.id)))
        else:
            key = await _gotten(client.credential)
        if session.auth == "header" and key is not None:
            headers["Authorization"] = f"Bearer {key}"
        url = f"{re.sub('^http', 'ws', client.url)}/ws/{quote(session.id, safe='')}?{urlencode(query)}"
        try:
            socket = await connect(
                url,
                subprotocols=["nooble.v1"],  # type: ignore[list-item]
                additional_headers=headers,
                compression=None,
                open_timeout=GREETING,
                close_timeout=1,
                # The session has a heartbeat of its own, which the server answers in frames.
                ping_interval=None,
                max_size=MOST_BYTES,
            )
        except InvalidStatus as refused:
            response = refused.response
            raise NoobleError.of(response.status_code, response.headers, response.body or b"") from refused
        except (InvalidHandshake, InvalidMessage, TimeoutError, EOFError) as cause:
            raise lost("the socket could not be opened") from cause
        line = cls(socket, session.heartbeat)
        if session.auth == "frame":
            line.say({"type": "auth", "data": {"token": key}})
        return line

    def say(self, frame: dict[str, Any]) -> None:
        self._saying.put_nowait(json.dumps(frame))

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        silent = False
        while not self._dropped:
            try:
                # Not `wait_for`, which before Python 3.12 may swallow that we are told to end.
                async with asyncio.timeout(self._heartbeat):
                    text = await self._socket.recv()
            except TimeoutError:
                if silent:
                    self.drop()
                    return
                silent = True
                self.say({"type": "ping"})
                continue
            except ConnectionClosed:
                return
            silent = False
            yield json.loads(text)

    @property
    def code(self) -> int:
        return 1006 if self._dropped or self._socket.close_code is None else self._socket.close_code

    @property
    def reason(self) -> str:
        return "" if self._dropped else self._socket.close_reason or ""

    def drop(self) -> None:
        """Lets the connection go without waiting for the other side, which may be gone."""
        self._dropped = True
        self._socket.transport.abort()

    async def close(self) -> None:
        """Says goodbye, after everything that is still to be said."""
        if not self._speaker.done():
            said = asyncio.create_task(self._saying.join())
            await asyncio.wait([said, self._speaker], timeout=1, return_when=asyncio.FIRST_COMPLETED)
            said.cancel()
        self._speaker.cancel()
        await self._socket.close()

    async def _speak(self) -> None:
        try:
            while True:
                await self._socket.send(await self._saying.get())
                self._saying.task_done()
        except ConnectionClosed:
            return
