// What a gateway seldom does, against a server that does it: the rules of docs/websocket.md.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { Nooble, NoobleError, type Closed, type Frame, type Session, type SessionOptions } from "../src/index.js";
import { settled } from "./surroundings.js";

const frame = (type: string, seq: number, data: object, task = "t-1", epoch = "e") => ({ type, data, task_id: task, metadata: {}, epoch, seq });
const delta = (seq: number, index: number, text: string, attempt = 1) => frame("agent_delta", seq, { task_id: "t-1", attempt, index, text });
const whole = (seq: number, response: string) => frame("agent_response", seq, { response, sources: [], task_id: "t-1" });

class Fake {
  readonly addresses: URL[] = [];
  readonly heard: Frame[] = [];
  #sockets: WebSocket[] = [];

  private constructor(readonly server: WebSocketServer, readonly session: Session) {}

  static async start(context: TestContext, options: SessionOptions = {}, key?: string): Promise<Fake> {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "nooble.v1" });
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = new Nooble({ url, tenant: "acme", tier: "free", agent: "guide", webSocket: WebSocket, key });
    const fake = new Fake(server, client.session("session-1", options));
    server.on("connection", (socket, request) => fake.#greet(socket, request));
    context.after(() => (fake.session.close(), server.close()));
    await fake.session.ready();
    return fake;
  }

  #greet(socket: WebSocket, request: IncomingMessage): void {
    this.addresses.push(new URL(request.url!, "http://x"));
    this.#sockets.push(socket);
    socket.on("message", (text) => this.#hear(socket, JSON.parse(String(text)) as Frame));
    socket.send(JSON.stringify(frame("connection_ack", 0, {})));
  }

  #hear(socket: WebSocket, heard: Frame): void {
    this.heard.push(heard);
    if (heard.type === "ping") socket.send(JSON.stringify({ type: "pong", data: {} }));
    if (heard.type !== "send") return;
    const { request_id } = heard.data as { request_id: string };
    const data = { task_id: "t-1", status: "pending", queue_name: "q", estimated_time: 1 };
    socket.send(JSON.stringify({ type: "task_update", task_id: "t-1", data, metadata: { request_id } }));
  }

  say(...frames: object[]): void {
    for (const frame of frames) this.#sockets.at(-1)!.send(JSON.stringify(frame));
  }

  close(code: number, reason: string): void {
    this.#sockets.at(-1)!.close(code, reason);
  }

  acks(): unknown[] {
    return this.heard.filter(({ type }) => type === "ack").map(({ data }) => data);
  }
}

test("frames that come twice are shown once, and what was handled is acknowledged together", async (context) => {
  const fake = await Fake.start(context, { ackInterval: 500 });
  const seen: number[] = [];
  fake.session.on("frame", ({ seq }) => void seen.push(seq!));
  fake.say(delta(1, 0, "a"), delta(2, 1, "b"), delta(1, 0, "a"), delta(2, 1, "b"), delta(3, 2, "c"));
  await settled(() => fake.acks().length > 0);
  assert.deepEqual(seen, [1, 2, 3]);
  assert.deepEqual(fake.acks(), [{ epoch: "e", seq: 3 }]);
});

test("what is still being handled is not acknowledged, but not asked for again either", async (context) => {
  const fake = await Fake.start(context, { ackInterval: 10 });
  let go = () => {};
  fake.session.on("frame", ({ seq }) => (seq === 2 ? new Promise<void>((resolve) => (go = resolve)) : undefined));
  fake.say(delta(1, 0, "a"), delta(2, 1, "b"), delta(3, 2, "c"));
  await settled(() => fake.acks().length > 0);
  fake.close(4001, "draining retry_after_ms=20");
  await settled(() => fake.addresses.length === 2);
  assert.equal(fake.addresses[1]!.search.match(/epoch=e&seq=3/)?.length, 1);
  assert.deepEqual([fake.acks(), fake.session.position], [[{ epoch: "e", seq: 1 }], { epoch: "e", seq: 1 }]);
  go();
  await settled(() => fake.acks().length > 1);
  assert.deepEqual(fake.acks().at(-1), { epoch: "e", seq: 3 });
});

test("an answer that is begun anew drops what was there", async (context) => {
  const fake = await Fake.start(context);
  const restarts: unknown[] = [];
  fake.session.on("restarted", (...told) => void restarts.push(told));
  const answer = fake.session.ask("hello");
  await answer.accepted;
  const shown: string[] = [];
  const reading = (async () => {
    let text = "";
    for await (const piece of answer) shown.push((text = piece.restarted ? piece.text : text + piece.text));
  })();
  fake.say(delta(1, 0, "Half an ans"));
  await settled(() => shown.length > 0);
  fake.say(frame("task_update", 2, { status: "running", stage: "restarted", attempt: 2 }), delta(3, 0, "late", 1), delta(4, 0, "A whole", 2));
  await settled(() => shown.at(-1) === "A whole");
  fake.say(whole(5, "A whole answer"));
  await reading;
  assert.equal(shown.at(-1), "A whole answer");
  assert.deepEqual(restarts, [["t-1", 2]]);
});

test("a socket is opened again after every code from 4000 to 4499 and after no code of 4500 and above", async (context) => {
  for (const code of [4001, 4400, 4401, 4408, 4412, 4429, 4450, 4499, 1011]) {
    const fake = await Fake.start(context);
    const closed = new Promise<Closed>((resolve) => fake.session.on("close", resolve));
    fake.close(code, "why");
    assert.equal((await closed).code, code);
    await settled(() => fake.addresses.length === 2);
    fake.session.close();
  }
  for (const code of [4500, 4501, 4503, 4504, 4509, 4513, 4999]) {
    const fake = await Fake.start(context);
    const answer = fake.session.ask("hello");
    await answer.accepted;
    fake.close(code, "never");
    const error = await new Promise<NoobleError>((resolve) => fake.session.on("end", resolve));
    assert.deepEqual([error.closeCode, error.reason, fake.addresses.length], [code, "never", 1]);
    await assert.rejects(Promise.resolve(answer), error);
  }
});

test("who is told when to come back comes then", async (context) => {
  const fake = await Fake.start(context);
  const closed = new Promise<Closed>((resolve) => fake.session.on("close", resolve));
  fake.close(4001, "draining retry_after_ms=321");
  assert.equal((await closed).again, 321);
});

test("frames that are gone are told, and the session goes on behind them", async (context) => {
  const fake = await Fake.start(context, { ackInterval: 10 });
  const gaps: unknown[] = [];
  fake.session.on("gap", (gap) => void gaps.push(gap));
  const gap = { missed_from: 1, missed_to: 7, reason: "trimmed", epoch: "f", seq: 7 };
  fake.say({ type: "gap", epoch: "f", seq: 7, data: gap, metadata: {} }, frame("typing_indicator", 7, {}, "t-2", "f"), frame("typing_indicator", 8, {}, "t-2", "f"));
  await settled(() => fake.session.position?.seq === 8);
  assert.deepEqual(gaps, [gap]);
});

test("a change of epoch moves a session to where the new one goes on", async (context) => {
  const fake = await Fake.start(context, { ackInterval: 10 });
  const gaps: unknown[] = [];
  fake.session.on("gap", (gap) => void gaps.push(gap));
  fake.say(...[1, 2, 3].map((seq) => frame("typing_indicator", seq, {}, "t-2")));
  const gap = { missed_from: null, missed_to: null, reason: "epoch", epoch: "f", seq: 2 };
  fake.say({ type: "gap", epoch: "f", seq: 2, data: gap, metadata: {} });
  await settled(() => fake.session.position?.epoch === "f" && fake.session.position.seq === 2);
  fake.say(...[2, 3].map((seq) => frame("typing_indicator", seq, {}, "t-2", "f")));
  await settled(() => fake.heard.some(({ type, data }) => type === "ack" && data?.["epoch"] === "f" && data["seq"] === 3));
  assert.deepEqual(gaps, [gap]);
});

test("a request whose answer was lost fails, and a silent server is pinged", async (context) => {
  const fake = await Fake.start(context, { heartbeat: 40 });
  await settled(() => fake.heard.some(({ type }) => type === "ping"));
  const asked = fake.session.request("subscribe", { tasks: [] });
  asked.catch(() => undefined);
  await settled(() => fake.heard.some(({ type }) => type === "subscribe"));
  fake.close(1011, "");
  await assert.rejects(asked, { reason: "connection_lost" });
});
