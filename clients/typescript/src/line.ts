// One connection: how it is opened, kept alive, and what it ended with.

import { lost, type Nooble } from "./client.js";
import type { Position } from "./inbox.js";
import { NoobleError } from "./problem.js";
import type { Frame, SessionOptions } from "./session.js";

/** `header` works with sockets whose constructor takes headers, such as those of `ws`. */
export type Auth = "subprotocol" | "ticket" | "frame" | "header";

/** The part of a WebSocket that is used. */
interface Socket {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number): void;
  addEventListener(type: string, listener: (event: any) => void): void;
}

/** The global `WebSocket`, or the one of `ws`. */
export type WebSocketConstructor = new (url: string, protocols: string[], options?: any) => Socket;

export interface LineEnd {
  code: number;
  reason: string;
  /** The server let us in. */
  opened: boolean;
}

/** Longest time until the server must have greeted. */
const GREETING = 15_000;
const OPEN = 1;

/** What the application gets from elsewhere may fail as everything that goes over a network does: it is tried again. */
async function gotten<T>(get: () => Promise<T>): Promise<T> {
  try {
    return await get();
  } catch (error) {
    throw error instanceof NoobleError ? error : lost("the credential could not be had", error);
  }
}

export class Line {
  /** Resolves when the connection has ended. */
  readonly ended: Promise<LineEnd>;
  #end!: (end: LineEnd) => void;
  #opened = false;
  #over = false;
  #heard = Date.now();
  #watch: ReturnType<typeof setInterval>;

  private constructor(
    private readonly socket: Socket,
    /** Asks why the server does not let us in. */
    readonly knock: (signal: AbortSignal) => Promise<void>,
    heartbeat: number,
    token: string | undefined,
    take: (frame: Frame) => void,
  ) {
    this.ended = new Promise((resolve) => (this.#end = resolve));
    this.#watch = setInterval(() => this.#look(heartbeat), Math.min(heartbeat, GREETING) / 4);
    socket.addEventListener("open", () => {
      this.#opened = true;
      if (token !== undefined) this.send({ type: "auth", data: { token } });
    });
    socket.addEventListener("message", (event: { data: unknown }) => {
      this.#heard = Date.now();
      if (!this.#over) take(JSON.parse(String(event.data)) as Frame);
    });
    // What went wrong is told by the close that follows.
    socket.addEventListener("error", () => undefined);
    socket.addEventListener("close", (event: { code: number; reason: string }) => this.#finish(event.code, event.reason));
  }

  /** Opens a connection that goes on after a position. */
  static async open(
    client: Nooble,
    session: string,
    options: SessionOptions,
    from: Position | undefined,
    take: (frame: Frame) => void,
  ): Promise<Line> {
    const { url, tenant, tier, ...defaults } = client.options;
    const auth = options.auth ?? "subprotocol";
    const query = new URLSearchParams({ tenant_id: tenant, tier });
    const agent = options.agent ?? defaults.agent;
    const user = options.user ?? defaults.user;
    if (agent !== undefined) query.set("agent_id", agent);
    if (user !== undefined) query.set("user_id", user);
    if (from) query.set("epoch", from.epoch);
    if (from) query.set("seq", String(from.seq));
    if (auth === "ticket") query.set("ticket", await gotten(options.ticket ?? (() => client.ticket(session))));
    const key = auth === "ticket" ? undefined : await gotten(() => client.credential());
    const protocols = ["nooble.v1"];
    if (auth === "subprotocol" && key !== undefined) protocols.push(`bearer.${key}`);
    const headers = auth === "header" && key !== undefined ? [{ headers: { Authorization: `Bearer ${key}` } }] : [];
    const Constructor = defaults.webSocket ?? (globalThis.WebSocket as unknown as WebSocketConstructor | undefined);
    if (!Constructor) throw new TypeError("there is no WebSocket here: pass one as `webSocket`");
    const path = `/ws/${encodeURIComponent(session)}?${query}`;
    const socket = new Constructor(url.replace(/^http/, "ws") + path, protocols, ...headers);
    const anonymous = auth === "ticket" || auth === "frame";
    const knock = (signal: AbortSignal) => client.knock(path, { anonymous, signal });
    return new Line(socket, knock, options.heartbeat ?? 25_000, auth === "frame" ? key : undefined, take);
  }

  send(frame: Record<string, unknown>): void {
    if (!this.#over && this.socket.readyState === OPEN) this.socket.send(JSON.stringify(frame));
  }

  /** Says goodbye. */
  close(): void {
    if (this.#over) return;
    this.socket.close(1000);
    this.#finish(1000, "");
  }

  /** Lets the connection go without waiting for the other side, which may be gone. */
  drop(): void {
    if (this.#over) return;
    this.socket.close();
    this.#finish(1006, "");
  }

  #look(heartbeat: number): void {
    const silence = Date.now() - this.#heard;
    if (silence > (this.#opened ? 2 * heartbeat : GREETING)) this.drop();
    else if (silence > heartbeat) this.send({ type: "ping" });
  }

  #finish(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#watch);
    this.#end({ code, reason, opened: this.#opened });
  }
}
