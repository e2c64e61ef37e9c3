// One answer of an agent, put together while it is being written.

import { NoobleError } from "./problem.js";
import type { Frame } from "./session.js";
import { hasEnded, type Task } from "./client.js";

/** The whole answer, as the frame `agent_response` holds it. */
export interface AgentResponse {
  response: string;
  task_id: string;
  sources: Record<string, unknown>[];
  [more: string]: unknown;
}

/** Something new of an answer. */
export interface Delta {
  /** What is to be appended. Pieces that nobody has taken yet come together. */
  text: string;
  /** What was shown before is void: an attempt failed, and the next one begins anew. */
  restarted: boolean;
}

/**
 * An answer: `await` gives the whole, `for await` its pieces, and `text` what is known now. It goes on by itself whether anybody
 * looks or not. It fails with a `NoobleError` when the task ends without an answer or the session is over.
 */
export class Answer implements PromiseLike<AgentResponse>, AsyncIterable<Delta> {
  /** The task that the message became; known when it was accepted. */
  readonly accepted: Promise<string>;
  #taskId: string | undefined;
  #accept!: (id: string) => void;
  #refuse!: (error: NoobleError) => void;
  readonly #whole: Promise<AgentResponse>;
  #resolve!: (answer: AgentResponse) => void;
  #reject!: (error: NoobleError) => void;
  #text = "";
  #attempt = 0;
  #index = -1;
  #over = false;
  #waiting: Delta = { text: "", restarted: false };
  #wake: (() => void)[] = [];

  constructor() {
    this.accepted = new Promise((resolve, reject) => ([this.#accept, this.#refuse] = [resolve, reject]));
    this.#whole = new Promise((resolve, reject) => ([this.#resolve, this.#reject] = [resolve, reject]));
    // Who looks at neither shall not be ended for it.
    this.accepted.catch(() => undefined);
    this.#whole.catch(() => undefined);
  }

  get taskId(): string | undefined {
    return this.#taskId;
  }

  /** Everything of the present attempt; in the end the whole answer. */
  get text(): string {
    return this.#text;
  }

  get isOver(): boolean {
    return this.#over;
  }

  then<A = AgentResponse, B = never>(
    done?: ((answer: AgentResponse) => A | PromiseLike<A>) | null,
    failed?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#whole.then(done, failed);
  }

  /** Pieces until the answer is whole. To be looped over once: a piece is given once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Delta> {
    for (;;) {
      const { text, restarted } = this.#waiting;
      if (text || restarted) {
        this.#waiting = { text: "", restarted: false };
        yield { text, restarted };
        continue;
      }
      if (this.#over) {
        await this.#whole;
        return;
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** @internal */
  named(id: string): void {
    this.#taskId = id;
    this.#accept(id);
  }

  /** @internal Takes a frame of its task. */
  take(frame: Frame): void {
    if (this.#over) return;
    const data = frame.data;
    if (frame.type === "agent_delta") this.#piece(Number(data["attempt"]), Number(data["index"]), String(data["text"]));
    if (frame.type === "agent_response") this.#end(data as AgentResponse);
    if (frame.type === "task_update") {
      this.#begin(Number(data["attempt"]));
      if (data["status"] === "completed") this.#end({ response: this.#text, sources: [], ...data } as unknown as AgentResponse);
      else if (hasEnded(data["status"])) this.fail(this.#failure(String(data["status"]), data["message"]));
    }
    if (frame.type === "error") this.fail(this.#failure(String(data["error_code"]), data["error"], data));
    this.#rouse();
  }

  /** @internal Takes what the task's record says, where frames are gone. */
  settle(task: Task): void {
    if (this.#over || !hasEnded(task.status)) return;
    if (task.status === "completed") this.#end({ sources: [], response: "", ...task.result, task_id: task.task_id, status: task.status });
    else this.fail(this.#failure(task.error?.reason ?? task.status, task.error?.message, { ...task.error }));
    this.#rouse();
  }

  /** @internal */
  fail(error: NoobleError): void {
    if (this.#over) return;
    this.#over = true;
    this.#refuse(error);
    this.#reject(error);
    this.#rouse();
  }

  #failure(reason: string, detail: unknown, body: Record<string, unknown> = {}): NoobleError {
    const text = typeof detail === "string" ? detail : `the task ended as ${reason}`;
    const facts = { type: "about:blank", title: "No answer", status: 0, reason, detail: text };
    return new NoobleError({ ...body, ...facts }, { taskId: this.#taskId });
  }

  #begin(attempt: number): void {
    if (!(attempt > this.#attempt)) return;
    this.#attempt = attempt;
    this.#index = -1;
    this.#replace("");
  }

  #piece(attempt: number, index: number, text: string): void {
    this.#begin(attempt);
    if (attempt < this.#attempt || index <= this.#index) return;
    this.#index = index;
    this.#text += text;
    this.#waiting.text += text;
  }

  #end(answer: AgentResponse): void {
    // Whoever puts the pieces together shall have the whole, also when some are gone.
    if (answer.response.startsWith(this.#text)) this.#waiting.text += answer.response.slice(this.#text.length);
    else this.#replace(answer.response);
    this.#text = answer.response;
    this.#over = true;
    this.#resolve(answer);
  }

  #replace(text: string): void {
    // Who has been given nothing has nothing to forget.
    const given = this.#text.length > this.#waiting.text.length || this.#waiting.restarted;
    this.#waiting = { text, restarted: given };
    this.#text = text;
  }

  #rouse(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
