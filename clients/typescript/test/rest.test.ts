import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { NoobleError, Nooble, type TaskEvent } from "../src/index.js";
import { Proxy, QUESTION, sessionId, tenant } from "./surroundings.js";

async function refused(promise: PromiseLike<unknown>): Promise<NoobleError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof NoobleError, String(error));
    return error;
  }
  return assert.fail("it was not refused");
}

async function all(events: AsyncIterable<TaskEvent>): Promise<TaskEvent[]> {
  const seen: TaskEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

test("a message sent again under its key is one task", async () => {
  const client = tenant("enterprise");
  const options = { session: sessionId(), idempotencyKey: sessionId() };
  const first = await client.send(QUESTION, options);
  const again = await client.send(QUESTION, options);
  assert.equal(again.task_id, first.task_id);
  const other = await client.send(QUESTION, { session: options.session });
  assert.notEqual(other.task_id, first.task_id);
  const mismatch = await refused(client.send("another question", options));
  assert.deepEqual([mismatch.status, mismatch.reason], [422, "IDEMPOTENCY_MISMATCH"]);
});

test("a problem names the field at fault", async () => {
  const problem = await refused(tenant("enterprise").send("", { session: sessionId() }));
  assert.deepEqual([problem.status, problem.field], [422, "message"]);
  assert.match(problem.type, /^\/errors\//);
  assert.ok(problem.title && problem.detail && problem.reason && problem.message);
  const nobody = await refused(tenant("enterprise", { key: "nbl_x_y" }).task("0192f0c1-0000-7000-8000-000000000001"));
  assert.deepEqual([nobody.status, nobody.reason], [401, "CREDENTIAL_INVALID"]);
});

test("a free tenant meets its limit and is told when to come back", async () => {
  const client = tenant("free");
  const session = sessionId();
  let problem: NoobleError | undefined;
  // A minute may begin anew on the way.
  for (let sent = 0; sent < 25 && !problem; sent += 1) {
    await client.send(QUESTION, { session }).catch((error) => (problem = error as NoobleError));
  }
  assert.ok(problem instanceof NoobleError);
  assert.deepEqual([problem.status, problem.reason], [429, "RATE_LIMIT_EXCEEDED"]);
  assert.ok(problem.retryAfter! > 0 && problem.retryAfter! <= 60, String(problem.retryAfter));
  assert.deepEqual(problem.violatedPolicies, ["minute"]);
  const minute = client.rateLimit().find((limit) => limit.name === "minute");
  assert.deepEqual([minute?.limit, minute?.remaining, minute?.window], [10, 0, 60]);
});

test("a task is cancelled, and cancelling it again is no error", async (context) => {
  const client = tenant("enterprise");
  for (let tries = 0; tries < 20; tries += 1) {
    const { task_id } = await client.send(QUESTION, { session: sessionId() });
    await client.cancel(task_id, "changed my mind").catch((error) => assert.equal(error.reason, "TASK_FINISHED"));
    const end = (await all(client.events(task_id))).at(-1);
    // It was quicker.
    if (end?.data["status"] === "completed") continue;
    assert.equal(end?.data["status"], "cancelled");
    assert.equal((await client.cancel(task_id)).status, "cancelled");
    return;
  }
  if (process.env["NOOBLE_SLOW"]) assert.fail("no task was slow enough to be cancelled");
  context.skip("no task was slow enough to be cancelled");
});

test("events of a task go on after a cut, and none comes twice", async () => {
  const proxy = await Proxy.start();
  const client = tenant("enterprise", { url: proxy.url });
  const { task_id } = await client.send(QUESTION, { session: sessionId() });
  proxy.cutAt("event: typing_indicator");
  const cut = await all(client.events(task_id));
  const whole = await all(tenant("enterprise").events(task_id));
  const ids = cut.flatMap(({ id }) => id ?? []);
  assert.equal(new Set(ids).size, ids.length, `none twice: ${ids}`);
  assert.ok(ids.length > 0 && whole.every(({ id }) => id === undefined || ids.includes(id)), "and none is missing");
  assert.equal(cut.filter(({ type }) => type === "agent_response").length, 1);
  assert.equal(cut.at(-1)?.data["status"], "completed");
  assert.ok(cut.filter(({ type }) => type === "task").length >= 3, "it was taken up a second time");
  const rest = await all(client.events(task_id, { lastEventId: ids.at(-1)! }));
  assert.deepEqual(rest.map(({ type }) => type), ["task", "task"], "everything was seen");
  proxy.stop();
});

/** A server that answers as it is told, and notes the keys that it was sent. */
async function scripted(script: ((response: ServerResponse, request: IncomingMessage) => unknown)[]) {
  const keys: unknown[] = [];
  const server = createServer((request, response) => {
    keys.push(request.headers["idempotency-key"]);
    request.resume().on("end", () => script[Math.min(keys.length, script.length) - 1]!(response, request));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new Nooble({ url, tenant: "acme", tier: "free", key: "k", agent: "guide" });
  return { client, keys, stop: () => (server.closeAllConnections(), server.close()) };
}

const answer = (status: number, body: object, headers = {}) => (response: ServerResponse) =>
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

test("a message is sent again under the same key when the server is away or cuts the connection", async () => {
  const busy = answer(503, { reason: "OVERLOADED", status: 503 }, { "retry-after": "1" });
  const { client, keys, stop } = await scripted([busy, (response) => response.destroy(), answer(200, { task_id: "t" })]);
  const began = Date.now();
  assert.equal((await client.send("hello", { session: "session-1" })).task_id, "t");
  assert.ok(Date.now() - began >= 1000, "Retry-After was waited for");
  assert.equal(keys.length, 3);
  assert.ok(keys[0] && keys.every((key) => key === keys[0]), String(keys));
  stop();
});

test("a limit is waited for only by who asks for it, and no other refusal is tried again", async () => {
  const limited = answer(429, { reason: "RATE_LIMIT_EXCEEDED", retry_after: 1, "violated-policies": ["minute"] });
  const one = await scripted([limited, answer(200, { task_id: "t" })]);
  const problem = await refused(one.client.send("hello", { session: "session-1" }));
  assert.deepEqual([problem.retryAfter, problem.violatedPolicies, one.keys.length], [1, ["minute"], 1]);
  one.stop();
  const other = await scripted([limited, answer(200, { task_id: "t" })]);
  await other.client.send("hello", { session: "session-1", waitWhenLimited: true });
  assert.equal(other.keys.length, 2);
  other.stop();
  for (const status of [400, 401, 403, 404, 409, 422, 500]) {
    const { client, keys, stop } = await scripted([answer(status, {})]);
    assert.equal((await refused(client.send("hello", { session: "session-1" }))).status, status);
    assert.equal(keys.length, 1, String(status));
    stop();
  }
});

test("trying again has an end", async () => {
  const { client, keys, stop } = await scripted([answer(503, { reason: "OVERLOADED" })]);
  const few = new Nooble({ ...client.options, retries: 1 });
  assert.equal((await refused(few.send("hello", { session: "session-1" }))).status, 503);
  assert.equal(keys.length, 2);
  stop();
});
