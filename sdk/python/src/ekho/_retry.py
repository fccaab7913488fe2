"""When a failed try is repeated, where, and after how long: the only place that decides it.

A call goes in rounds. In one round each relay address is tried at most once, one after the other
without delay; between rounds the call waits a random time between zero and base_delay * 2^round,
capped at max_delay, on top of what Retry-After asks for. All times are in seconds.
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass
from typing import Optional

from .errors import EkhoConnectionError, EkhoRequestError


@dataclass(frozen=True)
class RetryPolicy:
    """How failed tries are repeated."""

    #: Rounds before the call gives up; 1 means no retry.
    max_rounds: int = 6
    #: Upper bound of the first delay.
    base_delay: float = 0.2
    #: Upper bound of every delay that the relay did not ask for.
    max_delay: float = 10.0
    #: A Retry-After longer than this is raised at once instead of waited for.
    max_retry_after: float = 60.0


class Repeat(enum.Enum):
    """Whether a call may be repeated when it is unknown if the relay carried it out."""

    HARMLESS = "harmless"
    ONLY_IF_UNDONE = "only_if_undone"


class Verdict(enum.Enum):
    GIVE_UP = "give_up"
    #: Another relay may answer now.
    ELSEWHERE = "elsewhere"
    #: Every relay would say the same for a while.
    LATER = "later"


def judge(error: BaseException, repeat: Repeat) -> Verdict:
    """Judges one failed try."""
    harmless = repeat is Repeat.HARMLESS
    if isinstance(error, EkhoConnectionError):
        broken = error.code in ("connection_failed", "timeout")
        return Verdict.ELSEWHERE if broken and (harmless or error.unsent) else Verdict.GIVE_UP
    if not isinstance(error, EkhoRequestError):
        return Verdict.GIVE_UP
    if error.status_code == 429 or error.code == "timestamp_before_leadership":
        return Verdict.LATER
    if error.status_code == 503:
        # In all other cases of 503 nothing was done.
        undone = error.code != "outcome_unknown"
        return Verdict.ELSEWHERE if harmless or undone else Verdict.GIVE_UP
    if error.status_code in (502, 504) and harmless:
        # A gateway's word: the relay behind it may have carried the call out.
        return Verdict.ELSEWHERE
    return Verdict.GIVE_UP


class Backoff:
    """The growing delays of one run of failures, with full jitter."""

    def __init__(self, base: float, most: float) -> None:
        self._base = base
        self._most = most
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    def next_delay(self, at_least: float = 0.0) -> float:
        """``at_least``, plus a random share of a bound that doubles with each failure."""
        bound = min(self._most, self._base * 2 ** min(self._failures, 50))
        self._failures += 1
        return at_least + random.uniform(0, bound)


class Targets:
    """Which relay address is in use: all calls stay with one until it fails."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.current = 0

    def leave(self, failed: int) -> None:
        """Moves on from ``failed``, unless another call already did."""
        if self.current == failed:
            self.current = (failed + 1) % self.count


class Attempts:
    """The tries of one call: which address is next, and how long to wait before."""

    def __init__(self, policy: RetryPolicy, targets: Targets, repeat: Repeat) -> None:
        self._policy = policy
        self._targets = targets
        self._repeat = repeat
        self._backoff = Backoff(policy.base_delay, policy.max_delay)
        self._round = 1
        self._hop = 1

    def after(self, error: BaseException, target: int) -> Optional[float]:
        """Seconds to wait before the next try; None where there is none."""
        verdict = judge(error, self._repeat)
        if verdict is Verdict.GIVE_UP:
            return None
        if verdict is Verdict.ELSEWHERE:
            self._targets.leave(target)
            if self._hop < self._targets.count:
                self._hop += 1
                return 0.0
        wait = retry_after(error)
        if self._round >= self._policy.max_rounds or wait > self._policy.max_retry_after:
            return None
        self._round += 1
        self._hop = 1
        return self._backoff.next_delay(wait)


def retry_after(error: BaseException) -> float:
    """Seconds that the relay asks to wait."""
    if isinstance(error, EkhoRequestError) and error.retry_after_seconds is not None:
        return error.retry_after_seconds
    return 0.0
