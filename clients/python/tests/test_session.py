"""Sessions against the real gateway."""

from __future__ import annotations

import asyncio
import unittest
from typing import Any

from nooble_client import Nooble, NoobleError, Position, Session

from .surroundings import QUESTION, SLOW, Proxy, session_id, settled, tenant


async def ended(client: Nooble, **options: Any) -> NoobleError:
    session = client.session(session_id(), **options)
    await settled(lambda: session.error is not None)
    assert session.error is not None
    await session.close()
    return session.error


async def opened(session: Session) -> Position:
    future: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
    session.on("open", future.set_result)
    return await future


def log(frames: list[dict[str, Any]]) -> list[str]:
    """Pieces of an answer may be left out where the whole follows; everything else is there."""
    return [f"{frame['seq']} {frame['type']}" for frame in frames if frame.get("seq") and frame["type"] != "agent_delta"]


class Sessions(unittest.IsolatedAsyncioTestCase):
    async def test_an_answer_comes_in_pieces_and_whole(self) -> None:
        async with tenant("enterprise") as client:
            for auth in ("header", "ticket", "frame"):
                async with client.session(session_id(), auth=auth) as session:
                    answer, text = session.ask(QUESTION), ""
                    async for piece in answer:
                        text = piece.text if piece.restarted else text + piece.text
                    whole = await answer
                    self.assertTrue(whole["response"], auth)
                    self.assertEqual((text, answer.text), (whole["response"], whole["response"]))
                    self.assertEqual(answer.task_id, whole["task_id"])

    async def test_a_connection_that_is_cut_in_the_middle_loses_nothing_and_shows_nothing_twice(self) -> None:
        name, seen, other, breaks = session_id(), [], [], []
        async with Proxy() as proxy, tenant("enterprise", url=proxy.url) as client, tenant("enterprise") as direct:
            async with client.session(name) as session, direct.session(name) as whole:
                session.on("frame", seen.append)
                whole.on("frame", other.append)
                session.on("close", breaks.append)
                proxy.cut_at('"agent_delta"')
                answer, text = session.ask(QUESTION), ""
                async for piece in answer:
                    text += piece.text
                proxy.cut()
                second = await session.ask(QUESTION)
                self.assertGreaterEqual(len(breaks), 2)
                self.assertEqual(text, (await answer)["response"])
                self.assertEqual((await whole.follow(second["task_id"]))["response"], second["response"])
                places = [frame["seq"] for frame in seen if frame.get("seq")]
                self.assertEqual(places, sorted(set(places)), "none twice, in order")
                await settled(lambda: len(log(seen)) >= len(log(other)))
                self.assertEqual(log(seen), log(other))
                self.assertEqual([frame["type"] for frame in seen].count("agent_response"), 2)

    async def test_what_was_handled_is_acknowledged_and_who_comes_without_a_position_goes_on_from_there(self) -> None:
        name, seen = session_id(), []
        async with tenant("enterprise") as client:
            async with client.session(name) as first:
                first.on("frame", seen.append)
                await first.ask(QUESTION)
                await settled(lambda: bool(seen) and seen[-1]["type"] == "agent_response")
                await settled(lambda: first.position is not None and first.position.seq == seen[-1]["seq"])
                position = first.position
            second = client.session(name)
            self.assertEqual(await opened(second), position)
            await second.close()
            again: list[dict[str, Any]] = []
            third = client.session(name, position=Position(position.epoch, 0))
            third.on("frame", again.append)
            await settled(lambda: any(frame["type"] == "agent_response" for frame in again))
            await third.close()

    async def test_a_frame_sends_a_message_its_request_id_finds_the_answer_and_a_refusal_names_the_field(self) -> None:
        async with tenant("enterprise") as client, client.session(session_id()) as session:
            one, two = await asyncio.gather(session.send(QUESTION), session.send(QUESTION))
            self.assertNotEqual(one["task_id"], two["task_id"])
            self.assertTrue((await session.follow(one["task_id"]))["response"])
            with self.assertRaises(NoobleError) as refused:
                await session.send("")
            self.assertEqual(refused.exception.field, "message")
            self.assertTrue(refused.exception.type.startswith("/errors/"))

    async def test_a_cancelled_task_ends_its_answer(self) -> None:
        async with tenant("enterprise") as client, client.session(session_id()) as session:
            for _ in range(20):
                answer = session.ask(QUESTION)
                try:
                    await session.cancel(await answer.accepted())
                except NoobleError as error:
                    self.assertEqual(error.reason, "TASK_FINISHED")
                try:
                    await answer
                except NoobleError as error:
                    self.assertEqual((error.reason, error.task_id), ("CANCELLED", answer.task_id))
                    return
        self.assertFalse(SLOW, "no task was slow enough to be cancelled")
        self.skipTest("no task was slow enough to be cancelled")

    async def test_a_wrong_key_ends_the_session(self) -> None:
        async with tenant("enterprise", key="nbl_x_y") as nobody, tenant("enterprise", tier="free") as other:
            error = await ended(nobody)
            self.assertEqual((error.status, error.reason), (401, "CREDENTIAL_INVALID"))
            closed = await ended(nobody, auth="frame")
            self.assertEqual((closed.close_code, closed.reason), (4501, "invalid_token"))
            self.assertEqual((await ended(other)).status, 403)
            session = nobody.session(session_id())
            with self.assertRaises(NoobleError):
                await session.ready()
            with self.assertRaises(NoobleError):
                await session.ask(QUESTION)
            await session.close()

    async def test_a_mistake_ends_the_session_instead_of_being_made_for_ever(self) -> None:
        async with tenant("enterprise", url="https:/nowhere") as client:
            self.assertEqual((await ended(client)).reason, "client_failed")
