// What the tests run against: a gateway that is up, and a way to cut the connections to it.
//
// NOOBLE_URL is its address, NOOBLE_DEMO its demo.json.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { WebSocket } from "ws";
import { Nooble, type Options } from "../src/index.js";

export const QUESTION = "How many requests per minute may a free tenant make?";

const { NOOBLE_URL, NOOBLE_DEMO } = process.env;

/** A demo tenant's client. */
export function tenant(tier: string, more: Partial<Options> = {}): Nooble {
  if (!NOOBLE_URL || !NOOBLE_DEMO) throw new Error("NOOBLE_URL and NOOBLE_DEMO say what to test against; see README.md");
  const facts = JSON.parse(readFileSync(NOOBLE_DEMO, "utf8")).tenants[tier];
  const { tenant_id: tenant, api_key: key, agent_id: agent } = facts;
  return new Nooble({ url: NOOBLE_URL, tenant, tier, key, agent, webSocket: WebSocket, ...more });
}

/** A session of the test's own. */
export const sessionId = (): string => `ts-${crypto.randomUUID()}`;

/** Waits until something is so. */
export async function settled(so: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!so()) {
    if (Date.now() > end) throw new Error("it did not come to pass");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Stands between client and gateway, and cuts. */
export class Proxy {
  /** Connections so far. */
  count = 0;
  #server: Server;
  #open = new Set<Socket>();
  #mark: string | undefined;

  private constructor() {
    this.#server = createServer((near) => this.#join(near));
  }

  static async start(): Promise<Proxy> {
    const proxy = new Proxy();
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts, once, in the middle of what holds this text: half of the text gets through. */
  cutAt(mark: string): void {
    this.#mark = mark;
  }

  /** Cuts everything that is open. */
  cut(): void {
    for (const socket of this.#open) socket.destroy();
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }

  #join(near: Socket): void {
    this.count += 1;
    const { hostname, port } = new URL(NOOBLE_URL!);
    const far = connect(Number(port), hostname);
    for (const [from, to] of [[near, far], [far, near]] as const) {
      this.#open.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => (this.#open.delete(from), to.destroy()));
    }
    near.on("data", (data) => far.write(data));
    far.on("data", (data) => {
      const at = this.#mark === undefined ? -1 : data.indexOf(this.#mark);
      if (at < 0) return near.write(data);
      const half = data.subarray(0, at + this.#mark!.length / 2);
      this.#mark = undefined;
      return near.write(half, () => near.destroy());
    });
  }
}
