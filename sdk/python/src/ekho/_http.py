"""What the sync and the async transport share: addresses, signed headers, the rate window, and how
answers and failures become values and errors. Makes no request itself."""

from __future__ import annotations

import functools
import json
import ssl
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, TypeVar, Union

import httpx

from ._calls import Call
from ._retry import RetryPolicy, Targets
from ._version import USER_AGENT
from .errors import EkhoArgumentError, EkhoConnectionError, EkhoRequestError
from .signing import Signer

A = TypeVar("A")

# Error answers are short; a page from some proxy is cut here.
MAX_ERROR_BYTES = 64 * 1024
#: A proxy of the environment, for the rest of the world, cannot reach a relay on this machine.
DIRECT: Dict[str, None] = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}
_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class HttpOptions:
    """All times are in seconds."""

    retry: RetryPolicy
    connect_timeout: float
    request_timeout: float
    stream_idle_timeout: float
    max_answer_bytes: int
    verify: Union[ssl.SSLContext, bool]
    proxy: Optional[str]


class HttpBase:
    def __init__(
        self,
        relay_base_url: Union[str, Sequence[str]],
        signer: Optional[Signer],
        options: HttpOptions,
    ) -> None:
        given = [relay_base_url] if isinstance(relay_base_url, str) else list(relay_base_url or ())
        if not given:
            raise EkhoArgumentError("relay_base_url is missing")
        self._relays: List[str] = [checked_base_url(url) for url in given]
        self.targets = Targets(len(self._relays))
        self.signer = signer
        self.options = options
        # No send leaves before this time, on time.monotonic()'s clock.
        self._sends_held_until = 0.0

    def url(self, relay: int, call: Call[A]) -> str:
        return f"{self._relays[relay]}{call.target}"

    def headers(self, call: Call[A]) -> Dict[str, str]:
        """Those of one try: signed now."""
        headers = {"user-agent": USER_AGENT, **call.headers}
        if call.body is not None:
            headers["content-type"] = "application/json"
        if call.signed and self.signer is not None:
            headers.update(self.signer.sign(call.method, call.target, call.body or b""))
        return headers

    def held_for(self, call: Call[A]) -> float:
        """Seconds until a send may leave."""
        if not call.rate_limited:
            return 0.0
        return max(0.0, self._sends_held_until - time.monotonic())

    def refusal(
        self, call: Call[A], status_code: int, body: bytes, headers: Mapping[str, str]
    ) -> EkhoRequestError:
        error = EkhoRequestError(
            call.target,
            status_code,
            body[:MAX_ERROR_BYTES].decode("utf-8", "replace"),
            retry_after=headers.get("retry-after"),
            request_id=headers.get("x-request-id"),
        )
        wait = error.retry_after_seconds or 0.0
        if call.rate_limited and status_code == 429 and wait <= self.options.retry.max_retry_after:
            # Every refused send counts towards the agent's quarantine, so after one refusal no
            # other send of this client is tried before the window opens again.
            self._sends_held_until = max(self._sends_held_until, time.monotonic() + wait)
        return error

    def too_large(self, call: Call[A]) -> EkhoConnectionError:
        message = f"the answer has more than {self.options.max_answer_bytes} bytes"
        return EkhoConnectionError("answer_too_large", call.target, message)


@functools.lru_cache(maxsize=1)
def _default_context() -> ssl.SSLContext:
    """Reading the certificates takes longer than all else that a client does to begin."""
    return httpx.create_ssl_context()


def verify_with(given: Union[ssl.SSLContext, bool]) -> Union[ssl.SSLContext, bool]:
    return _default_context() if given is True else given


def timed_out(target: str, seconds: float) -> EkhoConnectionError:
    return EkhoConnectionError("timeout", target, f"nothing from the relay for {seconds:g} s")


def failure(target: str, error: Exception, seconds: float) -> EkhoConnectionError:
    """What httpx raised, as one of ours."""
    if isinstance(error, _NEVER_CONNECTED):
        return EkhoConnectionError(
            "connection_failed", target, "no connection to the relay", unsent=True
        )
    if isinstance(error, httpx.TimeoutException):
        return timed_out(target, seconds)
    return EkhoConnectionError("connection_failed", target, "no answer from the relay")


def shorter(limit: float, target: str, deadline: Optional[float]) -> float:
    if deadline is None:
        return limit
    left = deadline - time.monotonic()
    if left <= 0:
        raise timed_out(target, 0)
    return min(limit, left)


def decode(call: Call[A], content: bytes) -> A:
    try:
        data: Any = json.loads(content) if content else {}
        return call.read(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"the answer is not understood: {type(error).__name__}"
        raise EkhoConnectionError("answer_not_understood", call.target, message) from error


def checked_base_url(given: object) -> str:
    """Takes http and https; a path prefix is kept for proxies that strip it, and is not signed."""

    def refuse(why: str) -> EkhoArgumentError:
        return EkhoArgumentError(f'relay_base_url: {why}, such as "https://relay.example:4000"')

    if not isinstance(given, str):
        raise refuse("not a URL")
    try:
        url = httpx.URL(given)
    except (httpx.InvalidURL, ValueError):
        raise refuse("not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise refuse("not an http or https URL")
    if url.userinfo:
        raise refuse("must not hold a user name or password")
    if url.query or url.fragment:
        raise refuse("must have neither query nor fragment")
    return given.rstrip("/")
