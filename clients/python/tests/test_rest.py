"""REST against the real gateway, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import time
import unittest
import uuid
from collections.abc import Awaitable
from typing import Any

from nooble_client import Nooble, NoobleError

from .surroundings import QUESTION, SLOW, Proxy, session_id, tenant


async def refused(work: Awaitable[Any]) -> NoobleError:
    try:
        await work
    except NoobleError as error:
        return error
    raise AssertionError("it was not refused")


class Scripted:
    """A server that answers as it is told, and notes the keys that it was sent. `None` cuts the connection."""

    def __init__(self, *script: tuple[int, dict[str, Any], dict[str, str]] | None) -> None:
        self._script, self.keys = script, list[str | None]()

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.client = Nooble(url, tenant="acme", tier="free", key="k", agent="guide")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        headers = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        await reader.readexactly(int(headers["content-length"]))
        self.keys.append(headers.get("idempotency-key"))
        answer = self._script[min(len(self.keys), len(self._script)) - 1]
        if answer is not None:
            status, body, more = answer
            text = json.dumps(body).encode()
            more = {**more, "content-length": str(len(text)), "connection": "close"}
            lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in more.items()), "", ""]
            writer.write("\r\n".join(lines).encode() + text)
            await writer.drain()
        writer.close()


class Rest(unittest.IsolatedAsyncioTestCase):
    async def test_a_message_sent_again_under_its_key_is_one_task(self) -> None:
        async with tenant("enterprise") as client:
            options = {"session": session_id(), "idempotency_key": uuid.uuid4().hex}
            first = await client.send(QUESTION, **options)
            again = await client.send(QUESTION, **options)
            other = await client.send(QUESTION, session=options["session"])
            self.assertEqual(again["task_id"], first["task_id"])
            self.assertNotEqual(other["task_id"], first["task_id"])
            mismatch = await refused(client.send("another question", **options))
            self.assertEqual((mismatch.status, mismatch.reason), (422, "IDEMPOTENCY_MISMATCH"))

    async def test_a_problem_names_the_field_at_fault(self) -> None:
        async with tenant("enterprise") as client, tenant("enterprise", key="nbl_x_y") as nobody:
            problem = await refused(client.send("", session=session_id()))
            self.assertEqual((problem.status, problem.field), (422, "message"))
            self.assertTrue(problem.type.startswith("/errors/") and problem.title and problem.detail and problem.reason)
            unknown = await refused(nobody.task("0192f0c1-0000-7000-8000-000000000001"))
            self.assertEqual((unknown.status, unknown.reason), (401, "CREDENTIAL_INVALID"))

    async def test_a_free_tenant_meets_its_limit_and_is_told_when_to_come_back(self) -> None:
        async with tenant("free") as client:
            session, problem = session_id(), None
            # A minute may begin anew on the way.
            for _ in range(25):
                try:
                    await client.send(QUESTION, session=session)
                except NoobleError as error:
                    problem = error
                    break
            assert problem is not None and problem.retry_after is not None
            self.assertEqual((problem.status, problem.reason), (429, "RATE_LIMIT_EXCEEDED"))
            self.assertTrue(0 < problem.retry_after <= 60)
            self.assertEqual(problem.violated_policies, ["minute"])
            minute = next(limit for limit in client.rate_limit() if limit.name == "minute")
            self.assertEqual((minute.limit, minute.remaining, minute.window), (10, 0, 60))

    async def test_a_task_is_cancelled_and_cancelling_it_again_is_no_error(self) -> None:
        async with tenant("enterprise") as client:
            for _ in range(20):
                task = (await client.send(QUESTION, session=session_id()))["task_id"]
                try:
                    await client.cancel(task, "changed my mind")
                except NoobleError as error:
                    self.assertEqual(error.reason, "TASK_FINISHED")
                *_, end = [event async for event in client.events(task)]
                if end.data["status"] == "completed":
                    continue
                self.assertEqual(end.data["status"], "cancelled")
                self.assertEqual((await client.cancel(task))["status"], "cancelled")
                return
        self.assertFalse(SLOW, "no task was slow enough to be cancelled")
        self.skipTest("no task was slow enough to be cancelled")

    async def test_events_of_a_task_go_on_after_a_cut_and_none_comes_twice(self) -> None:
        async with Proxy() as proxy, tenant("enterprise", url=proxy.url) as client, tenant("enterprise") as direct:
            task = (await client.send(QUESTION, session=session_id()))["task_id"]
            proxy.cut_at("event: typing_indicator")
            cut = [event async for event in client.events(task)]
            whole = [event async for event in direct.events(task)]
            ids = [event.id for event in cut if event.id]
            self.assertEqual(len(set(ids)), len(ids), f"none twice: {ids}")
            self.assertTrue(ids and all(event.id in ids for event in whole if event.id), "and none is missing")
            kinds = [event.type for event in cut]
            self.assertEqual((kinds.count("agent_response"), cut[-1].data["status"]), (1, "completed"))
            self.assertGreaterEqual(kinds.count("task"), 3, "it was taken up a second time")
            rest = [event.type async for event in client.events(task, last_event_id=ids[-1])]
            self.assertEqual(rest, ["task", "task"], "everything was seen")

    async def test_a_message_is_sent_again_under_the_same_key_when_the_server_is_away(self) -> None:
        busy = (503, {"reason": "OVERLOADED"}, {"retry-after": "1"})
        async with Scripted(busy, None, (200, {"task_id": "t"}, {})) as server:
            began = time.monotonic()
            self.assertEqual((await server.client.send("hello", session="session-1"))["task_id"], "t")
            self.assertGreaterEqual(time.monotonic() - began, 1, "Retry-After was waited for")
            self.assertEqual(len(server.keys), 3)
            self.assertTrue(server.keys[0] and len(set(server.keys)) == 1, server.keys)

    async def test_a_limit_is_waited_for_only_by_who_asks_for_it_and_no_other_refusal_is_tried_again(self) -> None:
        limited = (429, {"reason": "RATE_LIMIT_EXCEEDED", "retry_after": 1, "violated-policies": ["minute"]}, {})
        async with Scripted(limited, (200, {"task_id": "t"}, {})) as server:
            problem = await refused(server.client.send("hello", session="session-1"))
            self.assertEqual((problem.retry_after, problem.violated_policies, len(server.keys)), (1, ["minute"], 1))
        async with Scripted(limited, (200, {"task_id": "t"}, {})) as server:
            await server.client.send("hello", session="session-1", wait_when_limited=True)
            self.assertEqual(len(server.keys), 2)
        for status in (400, 401, 403, 404, 409, 422, 500):
            async with Scripted((status, {}, {})) as server:
                self.assertEqual((await refused(server.client.send("hello", session="session-1"))).status, status)
                self.assertEqual(len(server.keys), 1, status)

    async def test_trying_again_has_an_end(self) -> None:
        async with Scripted((503, {"reason": "OVERLOADED"}, {})) as server:
            async with Nooble(server.client.url, tenant="acme", tier="free", key="k", agent="a", retries=1) as few:
                self.assertEqual((await refused(few.send("hello", session="session-1"))).status, 503)
            self.assertEqual(len(server.keys), 2)
