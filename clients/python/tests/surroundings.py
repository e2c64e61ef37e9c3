"""What the tests run against: a gateway that is up, and a way to cut the connections to it.

NOOBLE_URL is its address, NOOBLE_DEMO its demo.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from nooble_client import Nooble

QUESTION = "How many requests per minute may a free tenant make?"
# Answers are slow enough for a task to be cancelled on its way.
SLOW = bool(os.environ.get("NOOBLE_SLOW"))


def tenant(name: str, **more: Any) -> Nooble:
    """A demo tenant's client."""
    with open(os.environ["NOOBLE_DEMO"], encoding="utf-8") as file:
        facts = json.load(file)["tenants"][name]
    options = {"key": facts["api_key"], "agent": facts["agent_id"], "tier": name, **more}
    return Nooble(options.pop("url", os.environ["NOOBLE_URL"]), tenant=facts["tenant_id"], **options)


def session_id() -> str:
    """A session of the test's own."""
    return f"py-{uuid.uuid4()}"


async def settled(so: Callable[[], bool]) -> None:
    """Waits until something is so."""
    end = time.monotonic() + 20
    while not so():
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.01)


class Proxy:
    """Stands between client and gateway, and cuts."""

    def __init__(self) -> None:
        self._mark: bytes | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._joined: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._joined)

    def cut_at(self, mark: str) -> None:
        """Cuts, once, in the middle of what holds this text: half of the text gets through."""
        self._mark = mark.encode()

    def cut(self) -> None:
        """Cuts everything that is open."""
        for writer in self._open:
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        self._joined.append(asyncio.current_task())  # type: ignore[arg-type]
        address = urlsplit(os.environ["NOOBLE_URL"])
        back, far = await asyncio.open_connection(address.hostname, address.port)
        self._open |= {near, far}
        try:
            await asyncio.wait(
                [asyncio.create_task(self._pass(reader, far, False)), asyncio.create_task(self._pass(back, near, True))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for writer in (near, far):
                writer.transport.abort()
                self._open.discard(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watched: bool) -> None:
        try:
            while data := await reader.read(65536):
                if watched and self._mark and (at := data.find(self._mark)) >= 0:
                    writer.write(data[: at + len(self._mark) // 2])
                    self._mark = None
                    await writer.drain()
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return
