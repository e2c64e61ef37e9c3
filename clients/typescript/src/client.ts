// REST: messages in, tasks out.

import { type Limit, limitsOf } from "./limits.js";
import { NoobleError, type ProblemBody } from "./problem.js";
import { jitter, sleep } from "./retry.js";
import { Session, type SessionOptions, type WebSocketConstructor } from "./session.js";
import { serverEvents } from "./sse.js";

export interface Options {
  /** Where the edge is: `https://nooble.example`. */
  url: string;
  /** API key or token; a function is asked each time, so that a token can be renewed. None where only tickets are to be had. */
  key?: string | (() => string | Promise<string>);
  tenant: string;
  tier: string;
  /** Agent that messages go to which name none. */
  agent?: string;
  /** Person who is there. */
  user?: string;
  /** How often a request is tried again; 4 unless set. */
  retries?: number;
  /** Longest time in milliseconds that one try may take; 30 s unless set. */
  timeout?: number;
  /** Stands in for the global one. */
  fetch?: typeof fetch;
  /** Needed where there is no global one: Node before version 22. */
  webSocket?: WebSocketConstructor;
}

export interface SendOptions {
  session: string;
  agent?: string;
  user?: string;
  conversation?: string;
  collection?: string;
  /** `agent` unless set; `collection` needs a collection. */
  context?: "agent" | "collection";
  userInfo?: Record<string, string | number | boolean | null>;
  maxIterations?: number;
  /** Names the message: sent again under the same key it is the same message. Made up unless set. */
  idempotencyKey?: string;
  /** Waits for `Retry-After` when a limit is reached, instead of throwing. */
  waitWhenLimited?: boolean;
  signal?: AbortSignal;
}

/** A message that was taken. */
export interface Accepted {
  task_id: string;
  queue_name: string;
  /** Seconds after which an answer can be expected. */
  estimated_time: number;
  [more: string]: unknown;
}

export interface Task {
  task_id: string;
  status: "pending" | "running" | "completed" | "failed" | "timeout" | "cancelled";
  result: Record<string, unknown> | null;
  error: { reason: string; message: string; field?: string; retry_after?: number } | null;
  [more: string]: unknown;
}

/** What happens to a task: `task` (the whole task), or a frame as a session shows it. */
export interface TaskEvent {
  type: string;
  /** Position of a frame; goes into `lastEventId`. */
  id: string | undefined;
  data: Record<string, unknown>;
}

interface Request {
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body?: unknown;
  waitWhenLimited?: boolean;
  retries?: number;
  /** Sent without the credential. */
  anonymous?: boolean;
  signal?: AbortSignal;
}

/** Longest `Retry-After` in seconds that is waited for. */
const LONGEST_WAIT = 120;
const ENDED = new Set(["completed", "failed", "timeout", "cancelled"]);

/** Tells whether nothing more happens to a task. */
export const hasEnded = (status: unknown): boolean => ENDED.has(status as string);

export class Nooble {
  readonly options: Options;
  #limits: Limit[] = [];

  constructor(options: Options) {
    this.options = { ...options, url: options.url.replace(/\/+$/, "") };
  }

  /** Sends a message to an agent. It becomes one task, however often it had to be sent. */
  async send(message: string, options: SendOptions): Promise<Accepted> {
    const { tenant, tier } = this.options;
    const headers: Record<string, string | undefined> = {
      "X-Tenant-ID": tenant,
      "X-Tenant-Tier": tier,
      "X-Session-ID": options.session,
      "X-Agent-ID": options.agent ?? this.options.agent,
      "X-User-ID": options.user ?? this.options.user,
      "X-Conversation-ID": options.conversation,
      "X-Collection-ID": options.collection,
      "X-Context-Type": options.context,
      "Idempotency-Key": options.idempotencyKey ?? madeUp(),
    };
    const given = Object.entries(headers).filter((header): header is [string, string] => header[1] !== undefined);
    const body = { message, user_info: options.userInfo, max_iterations: options.maxIterations };
    const { waitWhenLimited, signal } = options;
    const path = "/api/chat/send";
    return this.#json({ method: "POST", path, headers: Object.fromEntries(given), body, waitWhenLimited, signal });
  }

  /** Returns a task. */
  task(id: string, signal?: AbortSignal): Promise<Task> {
    return this.#json({ path: `/api/v1/tasks/${encodeURIComponent(id)}`, signal });
  }

  /** Gives a task up, and returns it. One that has ended otherwise is refused with `TASK_FINISHED`. */
  async cancel(id: string, reason?: string, signal?: AbortSignal): Promise<Task> {
    const path = `/api/v1/tasks/${encodeURIComponent(id)}/cancel`;
    try {
      return await this.#json({ method: "POST", path, body: reason === undefined ? {} : { reason }, signal });
    } catch (error) {
      // An earlier try may have done it, and its answer may have been lost.
      if (!(error instanceof NoobleError) || error.reason !== "TASK_FINISHED") throw error;
      const task = await this.task(id, signal);
      if (task.status !== "cancelled") throw error;
      return task;
    }
  }

  /** Gets a ticket, which opens one socket within 30 seconds; for the session that is named, or any. */
  async ticket(session?: string, options: { signal?: AbortSignal; retries?: number } = {}): Promise<string> {
    const { tenant, tier, user } = this.options;
    const headers = { "X-Tenant-ID": tenant, "X-Tenant-Tier": tier, ...(user ? { "X-User-ID": user } : {}) };
    const body = session === undefined ? {} : { session_id: session };
    const path = "/api/v1/ws-tickets";
    const { ticket } = await this.#json<{ ticket: string }>({ method: "POST", path, headers, body, ...options });
    return ticket;
  }

  /**
   * Asks without an upgrade for what a socket was refused, which does not say why: fails with what stands against it, and returns when
   * nothing does. With the credential, unless one stands in the path.
   */
  async knock(path: string, options: { anonymous: boolean; signal?: AbortSignal }): Promise<void> {
    try {
      await this.#json({ path, retries: 0, ...options });
    } catch (error) {
      // Who stands between may know no more than that this is no upgrade; only the edge says what will not change.
      const nothing = error instanceof NoobleError && (error.field === "Upgrade" || (error.isFinal && error.reason === "unknown"));
      if (!nothing) throw error;
    }
  }

  /** Opens a session, which stays open through lost connections. */
  session(id: string, options: SessionOptions = {}): Session {
    return new Session(this, id, options);
  }

  /** Returns the limits as the last answer told them; empty for a tier without any, and before the first answer. */
  rateLimit(): readonly Limit[] {
    return this.#limits;
  }

  /**
   * Follows a task until it ends. A stream that breaks is taken up after the last event that came; no frame comes twice.
   * A `task` comes first (on every connection) and last.
   */
  async *events(id: string, options: { lastEventId?: string; signal?: AbortSignal } = {}): AsyncGenerator<TaskEvent> {
    const path = `/api/v1/tasks/${encodeURIComponent(id)}/events`;
    let last = options.lastEventId;
    for (let attempt = 0; ; attempt += 1) {
      const headers: Record<string, string> = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const response = await this.#respond({ path, headers, signal: options.signal });
      let [tasks, wait] = [0, 0];
      try {
        for await (const event of serverEvents(response.body!)) {
          if (event.event !== "problem") attempt = 0;
          if (event.id !== undefined && event.id === last) continue;
          const data = JSON.parse(event.data) as Record<string, unknown>;
          if (event.event === "problem") {
            const problem = new NoobleError(data as ProblemBody);
            // The credential of now may be another one.
            if (problem.reason === "CREDENTIAL_EXPIRED") break;
            throw problem;
          }
          yield { type: event.event, id: event.id, data };
          last = event.id ?? last;
          if (event.event === "task") tasks += 1;
          // The first one only says how it stands.
          if (event.event === "task" && tasks > 1 && hasEnded(data["status"])) return;
        }
      } catch (error) {
        options.signal?.throwIfAborted();
        if (error instanceof NoobleError && error.status !== 503) throw error;
        if (error instanceof SyntaxError) throw error;
        if (error instanceof NoobleError) wait = (error.retryAfter ?? 0) * 1000;
      }
      if (attempt >= this.#retries) throw lost("the stream of events breaks again and again");
      await sleep(wait + jitter(attempt), options.signal);
    }
  }

  get #retries(): number {
    return this.options.retries ?? 4;
  }

  /** The credential of now. */
  async credential(): Promise<string | undefined> {
    const { key } = this.options;
    return typeof key === "function" ? key() : key;
  }

  async #json<T>(request: Request): Promise<T> {
    return this.#respond(request, (response) => response.json() as Promise<T>);
  }

  async #respond(request: Request): Promise<Response>;
  async #respond<T>(request: Request, read: (response: Response) => Promise<T>): Promise<T>;
  async #respond<T>(request: Request, read?: (response: Response) => Promise<T>): Promise<T | Response> {
    for (let attempt = 0; ; attempt += 1) {
      let error: NoobleError;
      try {
        return await this.#once(request, read);
      } catch (cause) {
        request.signal?.throwIfAborted();
        error = cause instanceof NoobleError ? cause : lost("the server cannot be reached", cause);
      }
      const again = error.status === 0 || error.status === 503 || (error.status === 429 && request.waitWhenLimited);
      const seconds = error.retryAfter ?? 0;
      if (!again || attempt >= (request.retries ?? this.#retries) || seconds > LONGEST_WAIT) throw error;
      await sleep(seconds * 1000 + jitter(attempt), request.signal);
    }
  }

  /** One try. The time limit holds for the head, and for a body that `read` reads; a stream may take longer. */
  async #once<T>(request: Request, read?: (response: Response) => Promise<T>): Promise<T | Response> {
    const key = request.anonymous ? undefined : await this.credential();
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error("no answer in time")), this.options.timeout ?? 30_000);
    const stop = () => late.abort(request.signal?.reason);
    request.signal?.addEventListener("abort", stop, { once: true });
    request.signal?.throwIfAborted();
    try {
      const body = request.body === undefined ? undefined : JSON.stringify(request.body);
      const headers: Record<string, string> = { ...request.headers };
      if (key !== undefined) headers["Authorization"] = `Bearer ${key}`;
      if (body !== undefined) headers["Content-Type"] = "application/json";
      const call = this.options.fetch ?? globalThis.fetch.bind(globalThis);
      const response = await call(this.options.url + request.path, {
        method: request.method ?? "GET",
        headers,
        body,
        signal: late.signal,
      });
      const limits = limitsOf(response.headers);
      if (limits.length > 0) this.#limits = limits;
      if (!response.ok) throw await NoobleError.of(response);
      return read ? await read(response) : response;
    } finally {
      clearTimeout(timer);
      if (read) request.signal?.removeEventListener("abort", stop);
    }
  }
}

/** 128 bits that nobody else has. `randomUUID` is not to be had on pages without TLS. */
function madeUp(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** An error of the client's own: no answer came. */
export function lost(detail: string, cause?: unknown): NoobleError {
  return new NoobleError({ title: "Connection lost", detail, reason: "connection_lost" }, { cause });
}
