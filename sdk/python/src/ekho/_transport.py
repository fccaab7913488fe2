"""One HTTP call to a relay, blocking: signed anew for every try, answered with its bytes or with the
error of the last try."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Iterator, Optional, Sequence, Tuple, TypeVar, Union

import httpx

from ._calls import Call
from ._http import (
    DIRECT,
    MAX_ERROR_BYTES,
    HttpBase,
    HttpOptions,
    decode,
    failure,
    shorter,
    timed_out,
    verify_with,
)
from ._retry import Attempts
from ._stream import Broken
from .errors import EkhoArgumentError, EkhoError
from .signing import Signer

A = TypeVar("A")


class Transport(HttpBase):
    def __init__(
        self,
        relay_base_url: Union[str, Sequence[str]],
        signer: Optional[Signer],
        options: HttpOptions,
        http_client: Optional[httpx.Client],
    ) -> None:
        super().__init__(relay_base_url, signer, options)
        self._owned = http_client is None
        self._http = http_client or httpx.Client(
            verify=verify_with(options.verify),
            proxy=options.proxy,
            mounts=DIRECT if options.proxy is None else None,
        )

    @property
    def closed(self) -> bool:
        return self._http.is_closed

    def close(self) -> None:
        if self._owned:
            self._http.close()

    def run(self, call: Call[A], timeout: Optional[float] = None) -> A:
        """Makes the call; ``timeout`` is for all its tries together."""
        return decode(call, self.whole(call, timeout)[0])

    def whole(self, call: Call[A], timeout: Optional[float] = None) -> Tuple[bytes, httpx.Headers]:
        deadline = None if timeout is None else time.monotonic() + timeout
        attempts = Attempts(self.options.retry, self.targets, call.repeat)
        while True:
            target = self.targets.current
            try:
                limit = self.options.request_timeout + call.relay_wait
                return self._attempt(target, call, shorter(limit, call.target, deadline))
            except EkhoError as error:
                delay = attempts.after(error, target)
                if delay is None or (deadline is not None and time.monotonic() + delay > deadline):
                    raise
            time.sleep(delay)

    def _attempt(self, relay: int, call: Call[A], limit: float) -> Tuple[bytes, httpx.Headers]:
        time.sleep(self.held_for(call))
        ends = time.monotonic() + limit
        with self.opened(relay, call, limit) as response:
            chunks = []
            size = 0
            try:
                for chunk in response.iter_bytes():
                    size += len(chunk)
                    if size > self.options.max_answer_bytes:
                        raise self.too_large(call)
                    # httpx limits the wait for each piece; this limits all of them together.
                    if time.monotonic() > ends:
                        raise timed_out(call.target, limit)
                    chunks.append(chunk)
            except httpx.TransportError as error:
                raise failure(call.target, error, limit) from error
            return b"".join(chunks), response.headers

    @contextmanager
    def opened(self, relay: int, call: Call[A], limit: float) -> Iterator[httpx.Response]:
        """One try: signs now, sends, and turns every status but 2xx into an error."""
        if self._http.is_closed:
            raise EkhoArgumentError("the client was closed")
        request = self._http.build_request(
            call.method,
            self.url(relay, call),
            content=call.body,
            headers=self.headers(call),
            timeout=httpx.Timeout(limit, connect=min(limit, self.options.connect_timeout)),
        )
        try:
            response = self._http.send(request, stream=True, follow_redirects=False)
        except httpx.TransportError as error:
            raise failure(call.target, error, limit) from error
        try:
            if not response.is_success:
                raise self.refusal(
                    call, response.status_code, _read_some(response), response.headers
                )
            yield response
        finally:
            response.close()

    def pieces(self, call: Call[A]) -> Iterator[str]:
        """The text of one long answer as it comes; ends when the relay ends it, raises when it
        breaks. Tries that fail before anything came are repeated."""
        attempts = Attempts(self.options.retry, self.targets, call.repeat)
        idle = self.options.stream_idle_timeout
        while True:
            target = self.targets.current
            try:
                with self.opened(target, call, idle) as response:
                    try:
                        yield from response.iter_text()
                    except httpx.TransportError as error:
                        self.targets.leave(target)
                        raise Broken(failure(call.target, error, idle)) from error
                return
            except EkhoError as error:
                delay = attempts.after(error, target)
                if delay is None:
                    raise
            time.sleep(delay)


def _read_some(response: httpx.Response) -> bytes:
    """The beginning of an error's body; the status alone is worth reporting without it."""
    found = b""
    try:
        for chunk in response.iter_bytes():
            found += chunk
            if len(found) >= MAX_ERROR_BYTES:
                break
    except httpx.TransportError:
        pass
    return found
