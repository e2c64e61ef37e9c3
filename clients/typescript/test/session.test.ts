// Sessions against the real gateway.

import assert from "node:assert/strict";
import { test } from "node:test";
import { NoobleError, type Auth, type Frame, type Session } from "../src/index.js";
import { Proxy, QUESTION, sessionId, settled, tenant } from "./surroundings.js";

async function ended(session: Session): Promise<NoobleError> {
  return new Promise((resolve) => session.on("end", resolve));
}

for (const auth of ["subprotocol", "ticket", "frame", "header"] as Auth[]) {
  test(`an answer comes in pieces and whole (credential by ${auth})`, async () => {
    const session = tenant("enterprise").session(sessionId(), { auth });
    const answer = session.ask(QUESTION);
    let text = "";
    for await (const piece of answer) text = piece.restarted ? piece.text : text + piece.text;
    const whole = await answer;
    assert.ok(whole.response.length > 0);
    assert.deepEqual([text, answer.text, answer.taskId], [whole.response, whole.response, whole.task_id]);
    session.close();
  });
}

test("a connection that is cut in the middle loses nothing and shows nothing twice", async () => {
  const proxy = await Proxy.start();
  const direct = tenant("enterprise");
  const id = sessionId();
  const seen: Frame[] = [];
  const session = tenant("enterprise", { url: proxy.url }).session(id);
  let breaks = 0;
  session.on("frame", (frame) => void seen.push(frame));
  session.on("close", () => (breaks += 1));
  await session.ready();
  const whole = direct.session(id);
  const other: Frame[] = [];
  whole.on("frame", (frame) => void other.push(frame));
  await whole.ready();

  proxy.cutAt('"agent_delta"');
  const answer = session.ask(QUESTION);
  let text = "";
  for await (const piece of answer) text += piece.text;
  proxy.cut();
  const second = await session.ask(QUESTION);
  assert.ok(breaks >= 2, String(breaks));
  assert.equal(text, (await answer).response);
  assert.equal((await whole.follow(second.task_id)).response, second.response);
  const places = seen.flatMap((frame) => frame.seq ?? []);
  assert.ok(places.every((seq, at) => at === 0 || seq > places[at - 1]!), `none twice, in order: ${places}`);
  // Pieces of an answer may be left out where the whole follows; everything else is there.
  const kept = (frames: Frame[]) => frames.flatMap(({ type, seq }) => (seq && type !== "agent_delta" ? `${seq} ${type}` : []));
  await settled(() => kept(seen).length >= kept(other).length);
  assert.deepEqual(kept(seen), kept(other));
  assert.equal(seen.filter((frame) => frame.type === "agent_response").length, 2);
  session.close();
  whole.close();
  proxy.stop();
});

test("what was handled is acknowledged: who comes without a position goes on from there", async () => {
  const client = tenant("enterprise");
  const id = sessionId();
  const first = client.session(id);
  let last = 0;
  first.on("frame", (frame) => void (last = frame.type === "agent_response" ? frame.seq! : 0));
  await first.ask(QUESTION);
  await settled(() => last > 0 && first.position?.seq === last);
  const position = first.position!;
  first.close();
  const second = client.session(id);
  assert.deepEqual(await new Promise((resolve) => second.on("open", resolve)), position);
  second.close();
  const from = client.session(id, { position: { ...position, seq: 0 } });
  const again = await new Promise<Frame>((resolve) => from.on("frame", (frame) => frame.type === "agent_response" && resolve(frame)));
  assert.ok(again.seq! <= position.seq);
  from.close();
});

test("a frame sends a message, its request_id finds the answer, and a refusal names the field", async () => {
  const session = tenant("enterprise").session(sessionId());
  const [one, two] = await Promise.all([session.send(QUESTION), session.send(QUESTION)]);
  assert.notEqual(one.task_id, two.task_id);
  assert.ok((await session.follow(one.task_id)).response);
  const refused = await session.send("").then(() => assert.fail("accepted"), (error) => error as NoobleError);
  assert.ok(refused instanceof NoobleError);
  assert.deepEqual([refused.field, refused.type.startsWith("/errors/")], ["message", true]);
  session.close();
});

test("a cancelled task ends its answer", async (context) => {
  const session = tenant("enterprise").session(sessionId());
  for (let tries = 0; tries < 20; tries += 1) {
    const answer = session.ask(QUESTION);
    const done = answer.then(() => undefined, (error: unknown) => error);
    await session.cancel(await answer.accepted).catch((error) => assert.equal(error.reason, "TASK_FINISHED"));
    const error = await done;
    // It was quicker.
    if (error === undefined) continue;
    assert.ok(error instanceof NoobleError);
    assert.deepEqual([error.taskId, error.reason], [answer.taskId, "CANCELLED"]);
    session.close();
    return;
  }
  session.close();
  if (process.env["NOOBLE_SLOW"]) assert.fail("no task was slow enough to be cancelled");
  context.skip("no task was slow enough to be cancelled");
});

test("a wrong key ends the session, also where the socket does not say why", async () => {
  const session = tenant("enterprise", { key: "nbl_x_y" }).session(sessionId());
  const error = await ended(session);
  assert.deepEqual([error.status, error.reason], [401, "CREDENTIAL_INVALID"]);
  await assert.rejects(session.ready(), error);
  await assert.rejects(Promise.resolve(session.ask(QUESTION)), NoobleError);
  const closed = await ended(tenant("enterprise", { key: "nbl_x_y" }).session(sessionId(), { auth: "frame" }));
  assert.deepEqual([closed.closeCode, closed.reason], [4501, "invalid_token"]);
  const other = await ended(tenant("enterprise", { tier: "free" }).session(sessionId()));
  assert.equal(other.status, 403);
});

test("a refused agent ends the session with what the server says, however the socket proves who is there", async () => {
  for (const auth of ["subprotocol", "ticket", "header"] as Auth[]) {
    const error = await ended(tenant("enterprise").session(sessionId(), { auth, agent: "no-such-agent" }));
    assert.deepEqual([auth, error.status, error.reason, error.field], [auth, 403, "ACCESS_DENIED", "agent_id"]);
  }
});

test("a ticket that was used before is no end: another one is got", async () => {
  const client = tenant("enterprise");
  const id = sessionId();
  const used = await client.ticket(id);
  const first = client.session(id, { auth: "ticket", ticket: async () => used });
  await first.ready();
  let got = 0;
  const second = client.session(id, { auth: "ticket", ticket: async () => ((got += 1) === 1 ? used : client.ticket(id)) });
  await second.ready();
  assert.equal(got, 2);
  first.close();
  second.close();
});

test("where there is no place the session waits as long as the server says", async () => {
  const client = tenant("free");
  const held: Session[] = [];
  const full = await new Promise<{ again: number | undefined }>((resolve) => {
    // A free tenant may have ten.
    for (let socket = 0; socket < 12; socket += 1) {
      const session = client.session(sessionId());
      session.on("close", resolve);
      held.push(session);
    }
  });
  assert.ok(full.again! >= 1000, String(full.again));
  for (const session of held) session.close();
});

test("a mistake ends the session instead of being made for ever", async () => {
  const error = await ended(tenant("enterprise", { key: "no token at all" }).session(sessionId()));
  assert.equal(error.reason, "client_failed");
});
