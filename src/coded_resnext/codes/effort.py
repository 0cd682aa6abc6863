"""How long a search may search, so that the same arguments give the same result on any machine.

A search that stops by the clock depends on the machine and on what else runs there. These searches count
their work instead, in seconds of the machine the costs below were measured on, and stop when the allowance is
used up: that is the end of the search by itself. The clock only catches machines that are far slower.
"""

from __future__ import annotations

import logging
from time import thread_time

log = logging.getLogger(__name__)

# Seconds of one numpy operation, measured on one core of a 2.9 GHz server: a call, and an element of an array.
CALL = 0.75e-6
ELEMENT = 0.6e-9

# Part of the time limit that is handed out as work. The costs are generous: the clock shows about a third of the limit
# when the work is done, and less than half where other programs crowd the caches, so that a processor half as fast
# still finishes before it rings.
SHARE_OF_TIME = 0.5
REPORT_EVERY = 5.0  # seconds of work


class Effort:
    """An allowance of work under a deadline.

    The clock is the processor time of the calling thread: it stands still while other programs have the processor.

    Args:
        time_limit: seconds by the clock; `SHARE_OF_TIME` of them become the allowance.
    """

    def __init__(self, time_limit: float) -> None:
        self.left = self.allowance = SHARE_OF_TIME * time_limit
        self._whole: Effort | None = None
        self._reported = 0.0
        self._end = thread_time() + time_limit
        self._rang = False

    def part(self, seconds: float) -> Effort:
        """An allowance inside this one: so many seconds of it, at most what is left."""
        part = Effort(0.0)
        part.left = part.allowance = max(0.0, min(seconds, self.left))
        part._whole = self
        return part

    def spend(self, seconds: float) -> None:
        """Account for work done, here and in the allowances around."""
        self.left -= seconds
        if self._whole is not None:
            self._whole.spend(seconds)
        elif self.allowance - self.left >= self._reported + REPORT_EVERY:
            self._reported = self.allowance - self.left
            log.info("  %.1f of at most %.1f s of work", self._reported, self.allowance)

    @property
    def spent(self) -> bool:
        """Whether to stop now."""
        return self.left <= 0 or not self.complete

    @property
    def complete(self) -> bool:
        """Whether the clock has not cut the search short."""
        if self._whole is not None:
            return self._whole.complete
        self._rang = self._rang or thread_time() > self._end
        return not self._rang
