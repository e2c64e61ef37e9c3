"""How the limits stood at the last answer: the headers RateLimit-Policy and RateLimit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping


@dataclass(frozen=True)
class Limit:
    """One limit: `minute`, `day`, `session`, `tasks` …"""

    name: str
    # How much there is in all, and how much is left.
    limit: int | None
    remaining: int | None
    # Length of the window in seconds, none for what counts things at once; and seconds until it begins anew.
    window: int | None
    reset: int | None
    # What is counted, where it is not requests.
    unit: str | None


def _items(header: str) -> dict[str, dict[str, str]]:
    """Reads `"minute";q=10;w=60, "day";…`: names with parameters."""
    found = {}
    for item in header.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name:
            pairs = (parameter.partition("=") for parameter in parameters)
            found[name.strip('"')] = {key: value.strip('"') for key, _, value in pairs}
    return found


def limits_of(headers: Mapping[str, str]) -> list[Limit]:
    """Reads the limits that an answer tells of; none when it tells of none."""
    policies, standing = _items(headers.get("ratelimit-policy", "")), _items(headers.get("ratelimit", ""))

    def number(text: str | None) -> int | None:
        return None if text is None else int(text)

    limits = []
    for name in policies | standing:
        policy, now = policies.get(name, {}), standing.get(name, {})
        counts = (number(policy.get("q")), number(now.get("r")), number(policy.get("w")), number(now.get("t")))
        limits.append(Limit(name, *counts, policy.get("qu")))
    return limits
