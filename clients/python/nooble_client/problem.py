"""Everything that can go wrong, as one class."""

from __future__ import annotations

import json
from typing import Any

import httpx


class NoobleError(Exception):
    """A refused request, a task that ended without an answer, or a session that is over.

    `reason` is the stable machine name: one out of the server's catalogue (`/errors`), or one of the client's own, which are
    written in small letters. `status` is 0 when no HTTP answer is behind it. `body` holds everything as it came (RFC 9457).
    """

    def __init__(self, body: dict[str, Any], *, task_id: str | None = None, close_code: int | None = None) -> None:
        super().__init__(body.get("detail") or body.get("title") or body.get("reason") or "request failed")
        self.type: str = body.get("type") or "about:blank"
        self.title: str = body.get("title") or ""
        self.status: int = body.get("status") or 0
        self.detail: str = body.get("detail") or ""
        self.reason: str = body.get("reason") or "unknown"
        # Header, parameter or body field at fault.
        self.field: str | None = body.get("field")
        # Seconds after which it is worth trying again.
        self.retry_after: float | None = body.get("retry_after")
        self.trace_id: str | None = body.get("trace_id")
        # Names of the limits that were reached.
        self.violated_policies: list[str] = body.get("violated-policies") or []
        # The task that ended so.
        self.task_id = task_id
        # Code that the socket was closed with.
        self.close_code = close_code
        self.body = body

    @property
    def is_final(self) -> bool:
        """Tells whether the same will be refused again however often it is tried."""
        return 400 <= self.status < 500 and self.status != 429

    @classmethod
    def of(cls, status: int, headers: Any, text: str | bytes) -> NoobleError:
        """Reads the refusal in an HTTP response. What stands between may answer something else than a problem."""
        try:
            read = json.loads(text)
            body = read if isinstance(read, dict) else {}
        except ValueError:
            body = {"detail": f"the server answered {status}"}
        retry_after = body.get("retry_after")
        if retry_after is None:
            try:
                retry_after = float(headers.get("retry-after", ""))
            except ValueError:
                retry_after = None
        return cls({**body, "status": status, "retry_after": retry_after})

    @classmethod
    async def of_response(cls, response: httpx.Response) -> NoobleError:
        """The same for a response whose body was not read yet."""
        return cls.of(response.status_code, response.headers, await response.aread())


def lost(detail: str) -> NoobleError:
    """An error of the client's own: no answer came."""
    return NoobleError({"title": "Connection lost", "detail": detail, "reason": "connection_lost"})
