"""When to try again."""

import random

# Shortest range, in seconds, out of which the first wait is drawn.
BASE = 0.5
# Longest wait between two tries.
LONGEST = 30.0


def jitter(attempt: int) -> float:
    """Full jitter: anything between nothing and a bound that doubles, so that clients that fell together do not come back
    together."""
    return random.uniform(0, min(LONGEST, BASE * 2 ** min(attempt, 16)))
