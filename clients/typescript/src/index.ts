// A client of Nooble's edge. See README.md.

export { Answer, type AgentResponse, type Delta } from "./answer.js";
export { Nooble, type Accepted, type Options, type SendOptions, type Task, type TaskEvent } from "./client.js";
export type { Limit } from "./limits.js";
export { NoobleError, type ProblemBody } from "./problem.js";
export {
  Session,
  type Auth,
  type Closed,
  type Frame,
  type Gap,
  type Handlers,
  type Position,
  type SessionOptions,
  type WebSocketConstructor,
} from "./session.js";
