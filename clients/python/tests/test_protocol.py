"""What a gateway seldom does, against a server that does it: the rules of docs/websocket.md."""

from __future__ import annotations

import asyncio
import json
import unittest
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from nooble_client import Nooble, NoobleError

from .surroundings import settled


def frame(kind: str, seq: int, data: dict[str, Any], task: str = "t-1", epoch: str = "e") -> dict[str, Any]:
    return {"type": kind, "data": data, "task_id": task, "metadata": {}, "epoch": epoch, "seq": seq}


def delta(seq: int, index: int, text: str, attempt: int = 1) -> dict[str, Any]:
    return frame("agent_delta", seq, {"task_id": "t-1", "attempt": attempt, "index": index, "text": text})


class Fake:
    """A gateway with one session, which says what it is told."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self.queries: list[dict[str, list[str]]] = []
        self.heard: list[dict[str, Any]] = []

    async def __aenter__(self) -> Fake:
        self._server = await serve(self._greet, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._client = Nooble(url, tenant="acme", tier="free", agent="guide")
        self.session = self._client.session("session-1", **self._options)
        await self.session.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        await self._client.close()
        self._server.close()

    async def _greet(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.queries.append(parse_qs(urlsplit(socket.request.path).query))
        self._socket = socket
        await self.say(frame("connection_ack", 0, {}))
        try:
            await self._hear(socket)
        except ConnectionClosed:
            return

    async def _hear(self, socket: ServerConnection) -> None:
        async for text in socket:
            heard = json.loads(text)
            self.heard.append(heard)
            if heard["type"] == "ping":
                await self.say({"type": "pong", "data": {}})
            if heard["type"] == "send":
                data = {"task_id": "t-1", "status": "pending", "queue_name": "q", "estimated_time": 1}
                about = {"request_id": heard["data"]["request_id"]}
                await self.say({"type": "task_update", "task_id": "t-1", "data": data, "metadata": about})

    async def say(self, *frames: dict[str, Any]) -> None:
        for one in frames:
            await self._socket.send(json.dumps(one))

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason)

    def acks(self) -> list[dict[str, Any]]:
        return [heard["data"] for heard in self.heard if heard["type"] == "ack"]


class Protocol(unittest.IsolatedAsyncioTestCase):
    async def test_frames_that_come_twice_are_shown_once_and_what_was_handled_is_acknowledged_together(self) -> None:
        async with Fake(ack_interval=0.5) as fake:
            seen: list[int] = []
            fake.session.on("frame", lambda frame: seen.append(frame["seq"]))
            twice = [delta(1, 0, "a"), delta(2, 1, "b")]
            await fake.say(*twice, *twice, delta(3, 2, "c"))
            await settled(lambda: len(fake.acks()) > 0)
            self.assertEqual((seen, fake.acks()), ([1, 2, 3], [{"epoch": "e", "seq": 3}]))

    async def test_what_is_still_being_handled_is_not_acknowledged_but_not_asked_for_again_either(self) -> None:
        async with Fake(ack_interval=0.01) as fake:
            go = asyncio.Event()

            async def handle(frame: dict[str, Any]) -> None:
                if frame["seq"] == 2:
                    await go.wait()

            fake.session.on("frame", handle)
            await fake.say(delta(1, 0, "a"), delta(2, 1, "b"), delta(3, 2, "c"))
            await settled(lambda: len(fake.acks()) > 0)
            await fake.close(4001, "draining retry_after_ms=20")
            await settled(lambda: len(fake.queries) == 2)
            self.assertEqual((fake.queries[1]["epoch"], fake.queries[1]["seq"]), (["e"], ["3"]))
            self.assertEqual((fake.acks(), fake.session.position), ([{"epoch": "e", "seq": 1}], ("e", 1)))
            go.set()
            await settled(lambda: len(fake.acks()) > 1)
            self.assertEqual(fake.acks()[-1], {"epoch": "e", "seq": 3})

    async def test_an_answer_that_is_begun_anew_drops_what_was_there(self) -> None:
        async with Fake() as fake:
            restarts: list[tuple[str, int]] = []
            fake.session.on("restarted", lambda *told: restarts.append(told))
            answer, shown = fake.session.ask("hello"), [""]
            await answer.accepted()

            async def read() -> None:
                async for piece in answer:
                    shown.append(piece.text if piece.restarted else shown[-1] + piece.text)

            reading = asyncio.create_task(read())
            await fake.say(delta(1, 0, "Half an ans"))
            await settled(lambda: len(shown) > 1)
            update = frame("task_update", 2, {"status": "running", "stage": "restarted", "attempt": 2})
            await fake.say(update, delta(3, 0, "late", 1), delta(4, 0, "A whole", 2))
            await settled(lambda: shown[-1] == "A whole")
            await fake.say(frame("agent_response", 5, {"response": "A whole answer", "sources": [], "task_id": "t-1"}))
            await reading
            self.assertEqual((shown[-1], restarts), ("A whole answer", [("t-1", 2)]))

    async def test_a_socket_is_opened_again_after_every_code_from_4000_to_4499(self) -> None:
        for code in (4001, 4400, 4401, 4408, 4412, 4429, 4450, 4499, 1011):
            async with Fake() as fake:
                closed: list[Any] = []
                fake.session.on("close", closed.append)
                await fake.close(code, "why")
                await settled(lambda: len(fake.queries) == 2)
                self.assertEqual([one.code for one in closed], [code])

    async def test_and_after_no_code_of_4500_and_above(self) -> None:
        for code in (4500, 4501, 4503, 4504, 4509, 4513, 4999):
            async with Fake() as fake:
                answer = fake.session.ask("hello")
                await answer.accepted()
                await fake.close(code, "never")
                with self.assertRaises(NoobleError) as error:
                    await answer
                self.assertEqual((error.exception.close_code, error.exception.reason), (code, "never"))
                self.assertEqual((fake.session.error, len(fake.queries)), (error.exception, 1))

    async def test_who_is_told_when_to_come_back_comes_then(self) -> None:
        async with Fake() as fake:
            closed: list[Any] = []
            fake.session.on("close", closed.append)
            await fake.close(4001, "draining retry_after_ms=321")
            await settled(lambda: len(closed) > 0)
            self.assertEqual(closed[0].again, 0.321)

    async def test_frames_that_are_gone_are_told_and_the_session_goes_on_behind_them(self) -> None:
        async with Fake(ack_interval=0.01) as fake:
            gaps: list[dict[str, Any]] = []
            fake.session.on("gap", gaps.append)
            gap = {"missed_from": 1, "missed_to": 7, "reason": "trimmed", "epoch": "f", "seq": 7}
            await fake.say({"type": "gap", "epoch": "f", "seq": 7, "data": gap, "metadata": {}})
            await fake.say(*(frame("typing_indicator", seq, {}, "t-2", "f") for seq in (7, 8)))
            await settled(lambda: fake.session.position == ("f", 8))
            self.assertEqual(gaps, [gap])

    async def test_a_change_of_epoch_moves_a_session_to_where_the_new_one_goes_on(self) -> None:
        async with Fake(ack_interval=0.01) as fake:
            gaps: list[dict[str, Any]] = []
            fake.session.on("gap", gaps.append)
            await fake.say(*(frame("typing_indicator", seq, {}, "t-2") for seq in (1, 2, 3)))
            gap = {"missed_from": None, "missed_to": None, "reason": "epoch", "epoch": "f", "seq": 2}
            await fake.say({"type": "gap", "epoch": "f", "seq": 2, "data": gap, "metadata": {}})
            await settled(lambda: fake.session.position == ("f", 2))
            await fake.say(*(frame("typing_indicator", seq, {}, "t-2", "f") for seq in (2, 3)))
            await settled(lambda: fake.session.position == ("f", 3))
            acked = {"type": "ack", "data": {"epoch": "f", "seq": 3}}
            await settled(lambda: acked in fake.heard)
            self.assertEqual(gaps, [gap])

    async def test_a_request_whose_answer_was_lost_fails_and_a_silent_server_is_pinged(self) -> None:
        async with Fake(heartbeat=0.04) as fake:
            await settled(lambda: any(heard["type"] == "ping" for heard in fake.heard))
            asked = asyncio.create_task(fake.session.subscribe(tasks=[]))
            await settled(lambda: any(heard["type"] == "subscribe" for heard in fake.heard))
            await fake.close(1011, "")
            with self.assertRaises(NoobleError) as error:
                await asked
            self.assertEqual(error.exception.reason, "connection_lost")
