// How the limits stood at the last answer: the headers RateLimit-Policy and RateLimit.

/** One limit. */
export interface Limit {
  /** `minute`, `day`, `session`, `tasks` … */
  name: string;
  /** How much there is in all. */
  limit: number | undefined;
  /** How much is left. */
  remaining: number | undefined;
  /** Length of the window in seconds; none for what counts things at once. */
  window: number | undefined;
  /** Seconds until the window begins anew. */
  reset: number | undefined;
  /** What is counted, where it is not requests. */
  unit: string | undefined;
}

/** Reads `"minute";q=10;w=60, "day";…`: names with parameters. */
function items(header: string | null): Map<string, Map<string, string>> {
  const found = new Map<string, Map<string, string>>();
  for (const item of header?.split(",") ?? []) {
    const [name, ...parameters] = item.split(";").map((part) => part.trim());
    if (!name) continue;
    const pairs = parameters.map((parameter) => parameter.split("=") as [string, string]);
    found.set(unquoted(name), new Map(pairs.map(([key, value]) => [key, unquoted(value ?? "")])));
  }
  return found;
}

const unquoted = (text: string) => text.replace(/^"|"$/g, "");

/** Reads the limits that an answer tells of; none when it tells of none. */
export function limitsOf(headers: Headers): Limit[] {
  const policies = items(headers.get("ratelimit-policy"));
  const standing = items(headers.get("ratelimit"));
  const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
  return [...new Set([...policies.keys(), ...standing.keys()])].map((name) => {
    const [policy, now] = [policies.get(name), standing.get(name)];
    return {
      name,
      limit: number(policy?.get("q")),
      remaining: number(now?.get("r")),
      window: number(policy?.get("w")),
      reset: number(now?.get("t")),
      unit: policy?.get("qu"),
    };
  });
}
