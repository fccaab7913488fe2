"""Runs an agent whose handlers block: the same as ``EkhoAsyncAgentAdapter``, with handlers in threads.
The loops run in a thread of their own, so that a stop ends a long poll at once."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Awaitable, Callable, Coroutine, Optional, Type, TypeVar

from . import types as t
from ._adapter.hooks import (
    AdapterStatus,
    AsyncAdapterHooks,
    StopReport,
    check_options,
    reply_to,
)
from .async_adapter import EkhoAsyncAgentAdapter
from .async_client import EkhoAsyncAgentClient
from .client import EkhoAgentClient
from .errors import EkhoActionError, EkhoArgumentError
from .tasks import EkhoTask

A = TypeVar("A")

OnMessage = Callable[[t.InboxMessage, "EkhoAgentAdapter"], None]
BeforeAction = Callable[[t.ProposeActionInput, "EkhoAgentAdapter"], None]
OnControl = Callable[[t.ControlMessage, "EkhoAgentAdapter"], None]
OnApprovalPending = Callable[[str, "EkhoAgentAdapter"], None]


@dataclass
class AdapterHooks:
    """What a program supplies; see ``AsyncAdapterHooks``."""

    on_message: Optional[OnMessage] = None
    before_action: Optional[BeforeAction] = None
    on_control: Optional[OnControl] = None
    on_approval_pending: Optional[OnApprovalPending] = None


class EkhoAgentAdapter:
    """``concurrency`` messages are worked on at once, those of one conversation one after the other;
    a poll waits ``wait_seconds`` for something to come; the message of a handler that takes longer
    than ``handler_timeout`` seconds is handed back, though its thread cannot be ended."""

    def __init__(
        self,
        credentials: t.AgentCredentials,
        hooks: Optional[AdapterHooks] = None,
        *,
        client: Optional[EkhoAgentClient] = None,
        concurrency: int = 8,
        wait_seconds: int = 25,
        handler_timeout: float = 3600.0,
    ) -> None:
        check_options(concurrency, wait_seconds, handler_timeout)
        self._owns_client = client is None
        self.client = client or EkhoAgentClient(credentials)
        self._credentials = credentials
        self._hooks = hooks or AdapterHooks()
        self._options = {"concurrency": concurrency, "wait_seconds": wait_seconds}
        self._handler_timeout = handler_timeout
        self._run: Optional[_Run] = None

    @property
    def agent_id(self) -> str:
        return self.client.agent_id

    @property
    def running(self) -> bool:
        return self._run is not None and self._run.inner.running

    @property
    def paused(self) -> bool:
        """Whether an operator's pause or quarantine is in force."""
        return self._run is not None and self._run.inner.paused

    def status(self) -> AdapterStatus:
        if self._run is None:
            return AdapterStatus(False, False, 0, 0, None)
        return self._run.inner.status()

    def start(self) -> None:
        """Begins; once stopped it can begin again."""
        if self.running:
            return
        self._run = _Run(self._make_inner, self._options["concurrency"])
        self._run.call(self._run.inner.start())

    def stop(
        self, *, join: bool = True, timeout: Optional[float] = None, deadline: float = 10.0
    ) -> StopReport:
        """Takes no more messages, lets running handlers finish for ``deadline`` seconds (``timeout``
        is another name of it), and hands back what is left. With ``join=False`` it does so in the
        background and tells nothing."""
        run, self._run = self._run, None
        if run is None:
            return StopReport()
        seconds = deadline if timeout is None else timeout
        if join:
            return run.stop(seconds)
        threading.Thread(target=run.stop, args=(seconds,), daemon=True).start()
        return StopReport()

    def __enter__(self) -> EkhoAgentAdapter:
        self.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.stop()
        if self._owns_client:
            self.client.close()

    def send(
        self, payload: t.SendMessageInput, *, idempotency_key: Optional[str] = None
    ) -> t.SendMessageResult:
        return self.client.send_message(payload, idempotency_key=idempotency_key)

    def reply(
        self,
        message: t.InboxMessage,
        body: t.JsonObject,
        *,
        message_type: t.MessageType = "direct",
        idempotency_key: Optional[str] = None,
    ) -> t.SendMessageResult:
        """Answers the sender, in the same conversation."""
        return self.send(reply_to(message, body, message_type), idempotency_key=idempotency_key)

    def task_of(self, message: t.InboxMessage) -> Optional[EkhoTask]:
        """The A2A task that a message belongs to."""
        return self.client.task_of(message)

    def propose_action(self, action: t.ProposeActionInput) -> t.ActionDecision:
        """Returns when the action may be taken. Raises EkhoActionError where it may not: the policy
        denies it, the operator does, the agent is paused, or the adapter stops meanwhile."""
        if self._run is None:
            raise EkhoActionError("adapter_stopped", "the adapter was not started")
        return self._run.call(self._run.inner.propose_action(action))

    def report_action_result(self, payload: t.ActionResultInput) -> t.OkResult:
        return self.client.action_result(payload)

    def _make_inner(self, run: _Run) -> EkhoAsyncAgentAdapter:
        settings = self.client.settings
        client = EkhoAsyncAgentClient(
            self._credentials,
            timeout=settings.http.request_timeout,
            connect_timeout=settings.http.connect_timeout,
            max_answer_bytes=settings.http.max_answer_bytes,
            verify=settings.http.verify,
            proxy=settings.http.proxy,
            retry=settings.http.retry,
            telemetry=settings.telemetry,
            identity=settings.identity,
            fleet_id=settings.fleet_id,
            key_ring=settings.key_ring,
            learn_keys=settings.learn_keys,
            encryption_keys=settings.encryption_keys,
        )
        hooks = self._hooks
        return EkhoAsyncAgentAdapter(
            client=client,
            hooks=AsyncAdapterHooks(
                on_message=run.in_thread(hooks.on_message, self),
                before_action=run.in_thread(hooks.before_action, self),
                on_control=run.in_thread(hooks.on_control, self),
                on_approval_pending=run.in_thread(hooks.on_approval_pending, self),
            ),
            concurrency=self._options["concurrency"],
            wait_seconds=self._options["wait_seconds"],
            handler_timeout=self._handler_timeout,
        )


class _Run:
    """One run of an adapter: a loop in a thread, and threads for its handlers."""

    def __init__(
        self, make_inner: Callable[[_Run], EkhoAsyncAgentAdapter], concurrency: int
    ) -> None:
        self._loop = asyncio.new_event_loop()
        # Two more: for the other hooks, which must not wait for messages to be worked on.
        self._pool = ThreadPoolExecutor(concurrency + 2, thread_name_prefix="ekho-handler")
        self._thread = threading.Thread(target=self._loop.run_forever, name="ekho", daemon=True)
        self._thread.start()

        async def make() -> EkhoAsyncAgentAdapter:
            return make_inner(self)

        self.inner = self.call(make())

    def call(self, work: Coroutine[Any, Any, A]) -> A:
        """Waits for what is done on the loop."""
        if threading.current_thread() is self._thread:
            work.close()
            raise EkhoArgumentError("this would wait for itself")
        future: Future[A] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise EkhoActionError("adapter_stopped", "the adapter was stopped") from None

    def in_thread(
        self, hook: Optional[Callable[[A, EkhoAgentAdapter], None]], adapter: EkhoAgentAdapter
    ) -> Optional[Callable[[A, EkhoAsyncAgentAdapter], Awaitable[None]]]:
        if hook is None:
            return None
        blocking = hook

        async def run(item: A, _: EkhoAsyncAgentAdapter) -> None:
            # The context goes along, and with it the trace that the message brought.
            context = contextvars.copy_context()
            await self._loop.run_in_executor(
                self._pool, lambda: context.run(blocking, item, adapter)
            )

        return run

    async def _cancel_rest(self) -> None:
        """Whoever still waits for a decision in another thread is told that it will not come."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def stop(self, deadline: float) -> StopReport:
        try:
            report = self.call(self.inner.stop(deadline=deadline))
            self.call(self._cancel_rest())
            self.call(self.inner.client.aclose())
            return report
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            # A handler that does not return keeps its thread; nothing waits for it.
            self._pool.shutdown(wait=False)
