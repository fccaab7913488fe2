"""One HTTP call to a relay, on asyncio: signed anew for every try, answered with its bytes or with
the error of the last try."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import AsyncIterator, Optional, Sequence, Tuple, TypeVar, Union

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


class AsyncTransport(HttpBase):
    def __init__(
        self,
        relay_base_url: Union[str, Sequence[str]],
        signer: Optional[Signer],
        options: HttpOptions,
        http_client: Optional[httpx.AsyncClient],
    ) -> None:
        super().__init__(relay_base_url, signer, options)
        self._owned = http_client is None
        self._http = http_client or httpx.AsyncClient(
            verify=verify_with(options.verify),
            proxy=options.proxy,
            mounts=DIRECT if options.proxy is None else None,
        )

    @property
    def closed(self) -> bool:
        return self._http.is_closed

    async def aclose(self) -> None:
        if self._owned:
            await self._http.aclose()

    async def run(self, call: Call[A], timeout: Optional[float] = None) -> A:
        """Makes the call; ``timeout`` is for all its tries together."""
        return decode(call, (await self.whole(call, timeout))[0])

    async def whole(
        self, call: Call[A], timeout: Optional[float] = None
    ) -> Tuple[bytes, httpx.Headers]:
        deadline = None if timeout is None else time.monotonic() + timeout
        attempts = Attempts(self.options.retry, self.targets, call.repeat)
        while True:
            target = self.targets.current
            try:
                limit = self.options.request_timeout + call.relay_wait
                return await self._attempt(target, call, shorter(limit, call.target, deadline))
            except EkhoError as error:
                delay = attempts.after(error, target)
                if delay is None or (deadline is not None and time.monotonic() + delay > deadline):
                    raise
            await asyncio.sleep(delay)

    async def _attempt(
        self, relay: int, call: Call[A], limit: float
    ) -> Tuple[bytes, httpx.Headers]:
        await asyncio.sleep(self.held_for(call))
        # Not asyncio.wait_for: before Python 3.12 it can swallow a cancellation.
        ends = time.monotonic() + limit
        async with self.opened(relay, call, limit) as response:
            chunks = []
            size = 0
            try:
                async for chunk in response.aiter_bytes():
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

    @asynccontextmanager
    async def opened(
        self, relay: int, call: Call[A], limit: float
    ) -> AsyncIterator[httpx.Response]:
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
            response = await self._http.send(request, stream=True, follow_redirects=False)
        except httpx.TransportError as error:
            raise failure(call.target, error, limit) from error
        try:
            if not response.is_success:
                body = await _read_some(response)
                raise self.refusal(call, response.status_code, body, response.headers)
            yield response
        finally:
            await response.aclose()

    async def pieces(self, call: Call[A]) -> AsyncIterator[str]:
        """The text of one long answer as it comes; ends when the relay ends it, raises when it
        breaks. Tries that fail before anything came are repeated."""
        attempts = Attempts(self.options.retry, self.targets, call.repeat)
        idle = self.options.stream_idle_timeout
        while True:
            target = self.targets.current
            try:
                async with self.opened(target, call, idle) as response:
                    try:
                        async for piece in response.aiter_text():
                            yield piece
                    except httpx.TransportError as error:
                        self.targets.leave(target)
                        raise Broken(failure(call.target, error, idle)) from error
                return
            except EkhoError as error:
                delay = attempts.after(error, target)
                if delay is None:
                    raise
            await asyncio.sleep(delay)


async def _read_some(response: httpx.Response) -> bytes:
    """The beginning of an error's body; the status alone is worth reporting without it."""
    found = b""
    try:
        async for chunk in response.aiter_bytes():
            found += chunk
            if len(found) >= MAX_ERROR_BYTES:
                break
    except httpx.TransportError:
        pass
    return found
