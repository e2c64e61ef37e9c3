// A session over WebSocket. Connections come and go; the session goes on from its last position.

import { Answer } from "./answer.js";
import { hasEnded, lost, type Accepted, type Nooble, type SendOptions } from "./client.js";
import { Inbox, type Position } from "./inbox.js";
import { Line, type Auth, type LineEnd } from "./line.js";
import { NoobleError } from "./problem.js";
import { jitter, sleep } from "./retry.js";

export type { Position } from "./inbox.js";
export type { Auth, WebSocketConstructor } from "./line.js";

/** A frame of the server; `docs/websocket.md` and `/asyncapi.json` tell what each `type` holds. */
export interface Frame {
  type: string;
  data: Record<string, unknown>;
  task_id?: string;
  session_id?: string;
  metadata?: { request_id?: string; subscription?: "task" | "agent"; [more: string]: unknown };
  epoch?: string;
  seq?: number;
  [more: string]: unknown;
}

export interface SessionOptions {
  agent?: string;
  user?: string;
  /** How the socket proves who is there; `subprotocol` unless set, which browsers can, too. */
  auth?: Auth;
  /** Gets a ticket for `auth: "ticket"`; asks the edge unless set. */
  ticket?: () => Promise<string>;
  /** Goes on after this position, which an earlier session told; after the last acknowledged frame unless set. */
  position?: Position;
  /** Least milliseconds between two acknowledgements; 250 unless set. */
  ackInterval?: number;
  /** Milliseconds of silence after which the server is pinged; 25 s unless set. As long again in silence is a lost connection. */
  heartbeat?: number;
}

/** A connection that ended. */
export interface Closed {
  code: number;
  reason: string;
  /** Milliseconds until the next one is tried; none when there will be none. */
  again: number | undefined;
}

/** Frames that are gone for good, or may be. */
export type Gap = {
  /** The positions that are gone; null when nobody knows which are, or whether any is. */
  missed_from: number | null;
  missed_to: number | null;
  reason: "expired" | "trimmed" | "epoch" | (string & {});
  /** Where the session goes on. */
  epoch: string;
  seq: number;
};

/** What can be listened to. A frame counts as handled, and is acknowledged, when all its handlers have ended. */
export interface Handlers {
  /** Each frame once, in order. The next one waits for a promise that is returned. */
  frame: (frame: Frame) => unknown;
  /** Frames are gone for good, or may be; answers that wait are looked up by themselves. */
  gap: (gap: Gap) => unknown;
  /** A task began anew: what was shown of its answer is void. */
  restarted: (taskId: string, attempt: number) => unknown;
  open: (position: Position) => unknown;
  close: (closed: Closed) => unknown;
  /** The session is over and does not come back. */
  end: (error: NoobleError) => unknown;
}

/** Time that a connection must hold before the waits begin at the shortest again. */
const STEADY = 5_000;
/** Most frames kept for tasks whose acceptance is still on its way. */
const EARLY = 4_096;
/** Most tasks whose attempts are counted. */
const MOST_TASKS = 1_024;
const FATAL = (code: number) => code >= 4500 && code <= 4999;

/** A promise whose end is decided elsewhere; nobody need look at it. */
function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: NoobleError) => void } {
  let [resolve, reject]: [() => void, (error: NoobleError) => void] = [() => undefined, () => undefined];
  const promise = new Promise<void>((done, failed) => ([resolve, reject] = [done, failed]));
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

interface Waiting {
  resolve: (data: Record<string, unknown>) => void;
  reject: (error: NoobleError) => void;
}

export class Session {
  readonly #inbox: Inbox;
  readonly #stop = new AbortController();
  readonly #answers = new Map<string, Answer>();
  readonly #requests = new Map<string, Waiting>();
  #handlers: { [Name in keyof Handlers]: Set<Handlers[Name]> } = {
    frame: new Set(), gap: new Set(), restarted: new Set(), open: new Set(), close: new Set(), end: new Set(),
  };
  #attempts = new Map<string, number>();
  #early: Frame[] = [];
  #asking = 0;
  #asked = 0;
  /** The connection over which the session is followed, and the one that was opened last, which may not be so far. */
  #line: Line | undefined;
  #newest: Line | undefined;
  #ready = deferred();
  #error: NoobleError | undefined;

  constructor(readonly client: Nooble, readonly id: string, readonly options: SessionOptions = {}) {
    this.#inbox = new Inbox(options.position, (frame) => this.#hand(frame), options.ackInterval ?? 250);
    void this.#run();
  }

  /** Everything up to here was handled: what to give as `position` to a session that goes on later. */
  get position(): Position | undefined {
    return this.#inbox.handled;
  }

  /** Why the session is over; nothing while it is not. */
  get error(): NoobleError | undefined {
    return this.#error;
  }

  /** Waits until there is a connection; fails when the session is over. */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Listens. Returns a function that ends it. */
  on<Name extends keyof Handlers>(name: Name, handler: Handlers[Name]): () => void {
    this.#handlers[name].add(handler);
    return () => void this.#handlers[name].delete(handler);
  }

  /**
   * Asks an agent. The message goes by REST, where it can be repeated without harm, and only where the client has no key of its
   * own (tickets) as a frame; the answer comes over the socket.
   */
  ask(message: string, options: Omit<SendOptions, "session"> = {}): Answer {
    const answer = new Answer();
    this.#asking += 1;
    const sent = this.#send(message, options).then(
      (accepted) => this.#adopt(answer, accepted.task_id),
      (error) => answer.fail(error instanceof NoobleError ? error : lost("the message was not sent", error)),
    );
    void sent.finally(() => {
      this.#asking -= 1;
      if (this.#asking === 0) this.#early = [];
    });
    return answer;
  }

  /** Shows the answer of a task that is known already, from the session's position on. */
  follow(taskId: string): Answer {
    const answer = this.#answers.get(taskId) ?? new Answer();
    this.#adopt(answer, taskId);
    void this.#lookUp(answer);
    return answer;
  }

  /**
   * Sends a message as a frame. When the connection breaks before the answer came, nobody knows whether it was taken: it fails
   * with `connection_lost` and is not repeated.
   */
  async send(message: string, options: Omit<SendOptions, "session"> = {}): Promise<Accepted> {
    const data = {
      message,
      agent_id: options.agent ?? this.options.agent ?? this.client.options.agent,
      conversation_id: options.conversation,
      collection_id: options.collection,
      context_type: options.context,
      user_info: options.userInfo,
      max_iterations: options.maxIterations,
    };
    return (await this.request("send", data)) as Accepted;
  }

  /** Gives a task up. */
  cancel(taskId: string, reason?: string): Promise<Record<string, unknown>> {
    return this.request("cancel", { task_id: taskId, reason });
  }

  /** Shows tasks of other sessions, or how an agent's tasks are getting on, until the connection ends. */
  subscribe(what: { tasks?: string[]; agents?: string[] }): Promise<Record<string, unknown>> {
    return this.request("subscribe", what);
  }

  unsubscribe(what: { tasks?: string[]; agents?: string[] }): Promise<Record<string, unknown>> {
    return this.request("unsubscribe", what);
  }

  /** Sends a request in a frame, and waits for the answer that names it. */
  async request(type: string, data: Record<string, unknown>): Promise<Record<string, unknown>> {
    await this.ready();
    const request_id = `r-${(this.#asked += 1)}`;
    return new Promise((resolve, reject) => {
      if (!this.#line) return reject(lost("there is no connection"));
      this.#requests.set(request_id, { resolve, reject });
      this.#line.send({ type, data: { ...data, request_id } });
    });
  }

  /** Says goodbye. What was handled is acknowledged before; answers that are still out fail with `closed`. */
  close(): void {
    this.#inbox.flush();
    this.#finish(new NoobleError({ title: "Closed", detail: "the session was closed here", reason: "closed" }), false);
  }

  #send(message: string, options: Omit<SendOptions, "session">): Promise<{ task_id: string }> {
    const { agent, user } = this.options;
    if (this.client.options.key === undefined) return this.send(message, options);
    return this.client.send(message, { ...(agent && { agent }), ...(user && { user }), ...options, session: this.id });
  }

  async #run(): Promise<void> {
    let attempt = 0;
    while (!this.#error) {
      const began = Date.now();
      let [end, wait]: [LineEnd, number] = [{ code: 1006, reason: "", opened: false }, 0];
      try {
        end = await this.#connect();
      } catch (error) {
        // Anything but a refusal is a mistake, such as an address that is none, which would be made for ever.
        if (!(error instanceof NoobleError)) return this.#finish(broken(error));
        // Another ticket may do.
        if (error.isFinal && error.field !== "ticket") return this.#finish(error);
        wait = (error.retryAfter ?? 0) * 1000;
      }
      if (this.#error) return;
      if (FATAL(end.code)) return this.#finish(over(end));
      if (end.opened && Date.now() - began > STEADY) attempt = 0;
      const told = /retry_after_ms=(\d+)/.exec(end.reason)?.[1];
      const again = told === undefined ? wait + jitter(attempt) : Number(told);
      attempt += 1;
      void this.#emit("close", { code: end.code, reason: end.reason, again });
      await sleep(again, this.#stop.signal).catch(() => undefined);
    }
  }

  /** One connection, from its beginning to its end. */
  async #connect(): Promise<LineEnd> {
    // Who is behind with what came already does not ask for more.
    await this.#inbox.room();
    const line = await Line.open(this.client, this.id, this.options, this.#inbox.received, (frame) => this.#take(line, frame));
    this.#newest = line;
    if (this.#error) line.close();
    const end = await line.ended;
    if (this.#line === line) {
      this.#line = undefined;
      if (!this.#error) this.#ready = deferred();
    }
    this.#inbox.silence();
    for (const { reject } of this.#requests.values()) reject(lost("the connection broke before the answer came"));
    this.#requests.clear();
    // A browser does not say why a handshake failed.
    if (!end.opened && !this.#error) await line.knock(this.#stop.signal);
    return end;
  }

  /** Takes a frame as it comes. */
  #take(line: Line, frame: Frame): void {
    if (this.#error) return;
    if (frame.type === "connection_ack") {
      const position = this.#inbox.begin({ epoch: frame.epoch ?? "", seq: frame.seq ?? 0 });
      this.#line = line;
      this.#inbox.speak((position) => line.send({ type: "ack", data: position }));
      this.#ready.resolve();
      return void this.#emit("open", position);
    }
    const asked = frame.metadata?.request_id;
    if (asked !== undefined && frame.seq === undefined) {
      const waiting = this.#requests.get(asked);
      this.#requests.delete(asked);
      if (frame.type === "error") waiting?.reject(refusal(frame));
      else waiting?.resolve(frame.data);
      return;
    }
    if (!this.#inbox.admit(frame)) return;
    if (frame.type === "gap") for (const answer of this.#answers.values()) void this.#lookUp(answer);
    this.#tell(frame);
    if (!this.#inbox.put(frame)) line.drop();
  }

  /** Shows a frame to the answer that it belongs to. */
  #tell(frame: Frame): void {
    const id = frame.task_id;
    if (id === undefined || frame.metadata?.subscription === "agent") return;
    const answer = this.#answers.get(id);
    if (answer) {
      answer.take(frame);
      if (answer.isOver) this.#answers.delete(id);
    } else if (this.#asking > 0) {
      this.#early.push(frame);
      if (this.#early.length > EARLY) this.#early.shift();
    }
  }

  #adopt(answer: Answer, taskId: string): void {
    if (this.#error) return answer.fail(this.#error);
    answer.named(taskId);
    this.#answers.set(taskId, answer);
    for (const frame of this.#early.filter((frame) => frame.task_id === taskId)) answer.take(frame);
    if (answer.isOver) this.#answers.delete(taskId);
  }

  /** Asks for the task itself, where frames are gone. */
  async #lookUp(answer: Answer): Promise<void> {
    if (answer.taskId === undefined || this.client.options.key === undefined) return;
    try {
      answer.settle(await this.client.task(answer.taskId, this.#stop.signal));
    } catch (error) {
      if (error instanceof NoobleError && error.isFinal) answer.fail(error);
    }
    if (answer.isOver) this.#answers.delete(answer.taskId);
  }

  /** Shows a frame to the application. */
  async #hand(frame: Frame): Promise<void> {
    const data = frame.data;
    if (frame.type === "gap") await this.#emit("gap", data as Parameters<Handlers["gap"]>[0]);
    const [id, attempt] = [frame.task_id, Number(data["attempt"] ?? NaN)];
    if (id !== undefined && Number.isFinite(attempt)) {
      const before = this.#attempts.get(id);
      if (before !== undefined && before > 0 && attempt > before) await this.#emit("restarted", id, attempt);
      if (before === undefined || attempt > before) this.#attempts.set(id, attempt);
      // The ends of some tasks may be gone.
      if (this.#attempts.size > MOST_TASKS) this.#attempts.delete(this.#attempts.keys().next().value!);
    }
    const last = frame.type === "agent_response" || frame.type === "error";
    if (id !== undefined && (last || hasEnded(data["status"]))) this.#attempts.delete(id);
    await this.#emit("frame", frame);
  }

  async #emit<Name extends keyof Handlers>(name: Name, ...told: Parameters<Handlers[Name]>): Promise<void> {
    for (const handler of [...this.#handlers[name]]) {
      try {
        await (handler as (...told: unknown[]) => unknown)(...told);
      } catch (error) {
        // A mistake of one handler is its own; it is shown where uncaught errors are.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #finish(error: NoobleError, told = true): void {
    if (this.#error) return;
    this.#error = error;
    this.#stop.abort(error);
    this.#ready.reject(error);
    this.#newest?.close();
    for (const answer of this.#answers.values()) answer.fail(error);
    for (const { reject } of this.#requests.values()) reject(error);
    this.#answers.clear();
    this.#requests.clear();
    if (told) void this.#emit("end", error);
  }
}

function over({ code, reason }: LineEnd): NoobleError {
  const title = "The socket was closed for good";
  return new NoobleError({ title, detail: `${title}: ${code} ${reason}`, reason: reason || "closed" }, { closeCode: code });
}

function broken(cause: unknown): NoobleError {
  return new NoobleError({ title: "The session failed", detail: String(cause), reason: "client_failed" }, { cause });
}

/** Reads the frame that refuses a request. */
function refusal(frame: Frame): NoobleError {
  const { data } = frame;
  return new NoobleError({ ...data, title: "Request refused", detail: String(data["error"] ?? ""), reason: String(data["reason"] ?? data["error_code"]) });
}
