"""A client of Nooble's edge. See README.md."""

from .answer import Answer, Delta
from .client import Nooble, TaskEvent
from .limits import Limit
from .problem import NoobleError
from .session import Closed, Position, Session

__all__ = ["Answer", "Closed", "Delta", "Limit", "Nooble", "NoobleError", "Position", "Session", "TaskEvent"]
