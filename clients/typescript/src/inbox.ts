// What came, what of it was handled, and what of that the server knows.

import type { Frame } from "./session.js";

/** A place in the log of a session. */
export interface Position {
  epoch: string;
  seq: number;
}

/** Most frames that wait for the application before the connection is let go: the server's log holds them as well. */
const MOST = 4_096;

export class Inbox {
  /** Everything up to here came. */
  received: Position | undefined;
  /** Everything up to here was handled. */
  handled: Position | undefined;
  #acknowledged: Position | undefined;
  #waiting: { frame: Frame; position: Position | undefined }[] = [];
  #busy = false;
  #room: (() => void)[] = [];
  #say: ((position: Position) => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(position: Position | undefined, private readonly hand: (frame: Frame) => Promise<void>, private readonly pause: number) {
    this.received = this.handled = position && { ...position };
  }

  /** A connection begins where the server says, unless it is known better. */
  begin(position: Position): Position {
    if (!this.received) this.received = this.handled = this.#acknowledged = position;
    return this.received;
  }

  /** There is a connection to acknowledge over. */
  speak(say: (position: Position) => void): void {
    this.#say = say;
    this.#acknowledgeSoon();
  }

  /** There is none. */
  silence(): void {
    this.#say = undefined;
  }

  /** Notes where a frame stands; tells no when it came before. */
  admit(frame: Frame): boolean {
    const position = positionOf(frame);
    if (!position) return true;
    const behind = this.received?.epoch === position.epoch && position.seq <= this.received.seq;
    // A gap is told again to everybody who asks from before it, and says nothing new then.
    if (behind) return false;
    this.received = position;
    return true;
  }

  /** Takes a frame for the application; tells no when too many wait already. */
  put(frame: Frame): boolean {
    this.#waiting.push({ frame, position: positionOf(frame) });
    if (!this.#busy) void this.#work();
    return this.#waiting.length < MOST;
  }

  /** Waits until the application has come to the end of what is there. */
  room(): Promise<void> {
    if (this.#waiting.length < MOST) return Promise.resolve();
    return new Promise((resolve) => this.#room.push(resolve));
  }

  /** Acknowledges now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const [now, before] = [this.handled, this.#acknowledged];
    if (!this.#say || !now || (before?.epoch === now.epoch && before.seq >= now.seq)) return;
    this.#acknowledged = now;
    this.#say(now);
  }

  async #work(): Promise<void> {
    this.#busy = true;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      await this.hand(next.frame);
      this.#waiting.shift();
      if (next.position) {
        this.handled = next.position;
        this.#acknowledgeSoon();
      }
    }
    this.#busy = false;
    for (const go of this.#room.splice(0)) go();
  }

  #acknowledgeSoon(): void {
    this.#timer ??= setTimeout(() => this.flush(), this.pause);
  }
}

/** A frame of the log has a position; a gap has the one after which frames go on. What was subscribed to belongs to another log. */
function positionOf(frame: Frame): Position | undefined {
  const { epoch, seq } = frame;
  if (epoch === undefined || seq === undefined || frame.metadata?.subscription !== undefined) return undefined;
  return { epoch, seq };
}
