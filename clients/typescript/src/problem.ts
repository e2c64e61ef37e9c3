// Everything that can go wrong, as one class.

/** The body of a refusal (RFC 9457), as the edge sends it. Fields that are not named here are kept, too. */
export interface ProblemBody {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  reason?: string;
  field?: string | null;
  retry_after?: number | null;
  trace_id?: string;
  "violated-policies"?: string[];
  [extension: string]: unknown;
}

/**
 * A refused request, a task that ended without an answer, or a session that is over. `reason` is the stable machine name:
 * one out of the server's catalogue (`/errors`), or one of the client's own, which are written in small letters.
 */
export class NoobleError extends Error {
  override readonly name = "NoobleError";
  /** Where the problem is explained, as a path of the server. */
  readonly type: string;
  readonly title: string;
  /** HTTP status; 0 when no HTTP answer is behind it. */
  readonly status: number;
  readonly detail: string;
  readonly reason: string;
  /** Header, parameter or body field at fault. */
  readonly field: string | undefined;
  /** Seconds after which it is worth trying again. */
  readonly retryAfter: number | undefined;
  readonly traceId: string | undefined;
  /** Names of the limits that were reached. */
  readonly violatedPolicies: readonly string[];
  /** The task that ended so. */
  readonly taskId: string | undefined;
  /** Code that the socket was closed with. */
  readonly closeCode: number | undefined;
  /** Everything as it came. */
  readonly body: ProblemBody;

  constructor(body: ProblemBody, more: { taskId?: string; closeCode?: number; cause?: unknown } = {}) {
    super(body.detail || body.title || body.reason || "request failed", { cause: more.cause });
    this.type = body.type ?? "about:blank";
    this.title = body.title ?? "";
    this.status = body.status ?? 0;
    this.detail = body.detail ?? "";
    this.reason = body.reason ?? "unknown";
    this.field = body.field ?? undefined;
    this.retryAfter = body.retry_after ?? undefined;
    this.traceId = body.trace_id;
    this.violatedPolicies = body["violated-policies"] ?? [];
    this.taskId = more.taskId;
    this.closeCode = more.closeCode;
    this.body = body;
  }

  /** Tells whether the same will be refused again however often it is tried. */
  get isFinal(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }

  /** Reads the refusal in an HTTP response. What stands between may answer something else than a problem. */
  static async of(response: Response): Promise<NoobleError> {
    const text = await response.text();
    let body: ProblemBody = {};
    try {
      const read: unknown = JSON.parse(text);
      if (typeof read === "object" && read !== null && !Array.isArray(read)) body = read as ProblemBody;
    } catch {
      body = { detail: `the server answered ${response.status}` };
    }
    const seconds = Number(response.headers.get("retry-after") ?? NaN);
    const retry_after = body.retry_after ?? (Number.isFinite(seconds) ? seconds : null);
    return new NoobleError({ ...body, status: response.status, retry_after });
  }
}
