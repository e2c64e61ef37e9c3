// node --env-file=.env dist/example/ask.js "What is a tier?"
import { WebSocket } from "ws"; // not needed in browsers, nor from Node 22 on
import { Nooble, NoobleError } from "../src/index.js"; // "nooble-client"

const { NOOBLE_URL, NOOBLE_KEY, NOOBLE_TENANT, NOOBLE_TIER, NOOBLE_AGENT } = process.env as Record<string, string>;
const nooble = new Nooble({
  url: NOOBLE_URL!, key: NOOBLE_KEY, tenant: NOOBLE_TENANT!, tier: NOOBLE_TIER!, agent: NOOBLE_AGENT, webSocket: WebSocket,
});
const session = nooble.session("session-1");
session.on("gap", (gap) => console.warn("frames are gone:", gap.reason));
try {
  const answer = session.ask(process.argv[2] ?? "What is a tier?");
  for await (const { text, restarted } of answer) process.stdout.write(restarted ? `\n(again) ${text}` : text);
  const { sources } = await answer;
  console.log("\nsources:", sources.map((source) => source["title"]));
} catch (error) {
  if (error instanceof NoobleError) console.error(error.reason, error.detail, error.retryAfter ?? "");
  else throw error;
}
session.close();
