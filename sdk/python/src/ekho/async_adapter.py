"""Runs an agent on asyncio: takes messages by long poll, works on them with bounded concurrency, acks
and hands back, sends heartbeats, obeys operators, waits for their decisions."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from types import TracebackType
from typing import Any, Coroutine, List, Optional, Sequence, Set, Type

from . import types as t
from ._adapter.controls import Controls
from ._adapter.hooks import AdapterStatus, AsyncAdapterHooks, StopReport, check_options, reply_to
from ._adapter.lanes import Lanes, Offer
from ._retry import Backoff, retry_after
from .async_client import EkhoAsyncAgentClient
from .errors import EkhoActionError, EkhoArgumentError, is_transient
from .tasks import EkhoAsyncTask
from .telemetry import Telemetry, read_trace_context

logger = logging.getLogger("ekho.adapter")

_APPROVAL_POLL_SECONDS = 1.5
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_LEAST_LEASE_SECONDS = 120
# When a message that came while the agent is paused may come again.
_PAUSED_DELAY_SECONDS = 60
# Longest reason given to the relay.
_MAX_REASON_CHARS = 200
_MOST_AT_ONCE = 100


class EkhoAsyncAgentAdapter:
    """``concurrency`` messages are worked on at once, those of one conversation one after the other;
    a poll waits ``wait_seconds`` for something to come; a handler that takes longer than
    ``handler_timeout`` seconds is cancelled and its message handed back."""

    def __init__(
        self,
        credentials: Optional[t.AgentCredentials] = None,
        hooks: Optional[AsyncAdapterHooks] = None,
        *,
        client: Optional[EkhoAsyncAgentClient] = None,
        concurrency: int = 8,
        wait_seconds: int = 25,
        handler_timeout: float = 3600.0,
    ) -> None:
        if client is None:
            if credentials is None:
                raise EkhoArgumentError("an adapter needs credentials or a client")
            client = EkhoAsyncAgentClient(credentials)
            self._owns_client = True
        else:
            self._owns_client = False
        check_options(concurrency, wait_seconds, handler_timeout)
        self.client = client
        self._hooks = hooks or AsyncAdapterHooks()
        self._concurrency = concurrency
        self._wait_seconds = wait_seconds
        self._handler_timeout = handler_timeout
        self._lanes = Lanes()
        self._controls = Controls()
        self._loops: List[asyncio.Task[None]] = []
        self._workers: Set[asyncio.Task[None]] = set()
        self._slot_freed: Optional[asyncio.Event] = None
        self._draining = True
        self._failures = 0
        self._last_error: Optional[str] = None

    @property
    def agent_id(self) -> str:
        return self.client.agent_id

    @property
    def running(self) -> bool:
        return not self._draining

    @property
    def paused(self) -> bool:
        """Whether an operator's pause or quarantine is in force."""
        return self._controls.paused

    def status(self) -> AdapterStatus:
        return AdapterStatus(
            self.running, self.paused, len(self._lanes), self._failures, self._last_error
        )

    async def start(self) -> None:
        """Begins; once stopped it can begin again."""
        if self.running:
            return
        self._draining = False
        self._lanes, self._controls = Lanes(), Controls()
        self._slot_freed = asyncio.Event()
        self._loops = [
            asyncio.create_task(self._heartbeat_loop()),
            asyncio.create_task(self._inbox_loop()),
        ]

    async def stop(self, *, deadline: float = 10.0) -> StopReport:
        """Takes no more messages, lets running handlers finish for ``deadline`` seconds, cancels
        those that do not, and hands back what is left, to be delivered again at once."""
        if self._draining:
            return StopReport()
        self._draining = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        late: Set[asyncio.Task[None]] = set()
        if self._workers:
            _, late = await asyncio.wait(set(self._workers), timeout=deadline)
        handed_back = self._lanes.take_all()
        for worker in late:
            worker.cancel()
        if late:
            await asyncio.gather(*late, return_exceptions=True)
        if handed_back:
            await self._nack(handed_back, "the adapter stopped", delay_seconds=0)
        return StopReport(finished=not late, handed_back=handed_back)

    async def __aenter__(self) -> EkhoAsyncAgentAdapter:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.stop()
        if self._owns_client:
            await self.client.aclose()

    # --- what handlers ask for ---------------------------------------------------------------

    async def send(
        self, payload: t.SendMessageInput, *, idempotency_key: Optional[str] = None
    ) -> t.SendMessageResult:
        self._lanes.touch(payload.get("conversation_id", ""))
        return await self.client.send_message(payload, idempotency_key=idempotency_key)

    async def reply(
        self,
        message: t.InboxMessage,
        body: t.JsonObject,
        *,
        message_type: t.MessageType = "direct",
        idempotency_key: Optional[str] = None,
    ) -> t.SendMessageResult:
        """Answers the sender, in the same conversation."""
        return await self.send(
            reply_to(message, body, message_type), idempotency_key=idempotency_key
        )

    def task_of(self, message: t.InboxMessage) -> Optional[EkhoAsyncTask]:
        """The A2A task that a message belongs to."""
        return self.client.task_of(message)

    async def propose_action(self, action: t.ProposeActionInput) -> t.ActionDecision:
        """Returns when the action may be taken. Raises EkhoActionError where it may not: the policy
        denies it, the operator does, the agent is paused, or the adapter stops meanwhile."""
        if self._hooks.before_action is not None:
            await self._hooks.before_action(action, self)
        if self.paused:
            raise EkhoActionError("agent_paused", "agent is paused by control plane")
        decision = await self.client.propose_action(action)
        if decision.decision == "allow":
            return decision
        if decision.decision != "pending_approval" or decision.approval_id is None:
            raise EkhoActionError("action_denied", "action denied by Ekho policy")
        if self._hooks.on_approval_pending is not None:
            await self._hooks.on_approval_pending(decision.approval_id, self)
        await self._until_decided(decision.approval_id)
        return decision

    async def report_action_result(self, payload: t.ActionResultInput) -> t.OkResult:
        return await self.client.action_result(payload)

    async def _until_decided(self, approval_id: str) -> None:
        backoff = Backoff(_APPROVAL_POLL_SECONDS, _LONGEST_PAUSE_SECONDS)
        while self.running:
            pause = _APPROVAL_POLL_SECONDS
            try:
                status = (await self.client.get_approval(approval_id)).status
                if status in ("approved", "executed"):
                    return
                if status not in ("pending", "pending_approval"):
                    message = f"action {status} by operator"
                    raise EkhoActionError(f"action_{status}", message, approval_id)
                backoff.reset()
            except Exception as error:
                if not is_transient(error):
                    raise
                pause = backoff.next_delay(_APPROVAL_POLL_SECONDS)
            await asyncio.sleep(pause)
        raise EkhoActionError(
            "adapter_stopped", "adapter stopped while waiting for approval", approval_id
        )

    # --- the loops ---------------------------------------------------------------------------

    async def _heartbeat_loop(self) -> None:
        interval = self.client.heartbeat_interval_seconds
        while self.running:
            try:
                await self._beat()
                await self._keep_leases(interval)
            except Exception as error:
                logger.error("heartbeat failed: %s", error)
            # A tenth of spread keeps a fleet that was started at once from beating at once.
            await asyncio.sleep(interval * random.uniform(0.9, 1.0))

    async def _beat(self) -> None:
        busy = len(self._lanes) >= self._concurrency
        await self.client.heartbeat(
            {
                "status": "degraded" if self.paused else "busy" if busy else "healthy",
                "active_conversation_ids": self._lanes.active_conversations(),
                "metrics": {"paused": self.paused},
            }
        )

    async def _keep_leases(self, interval: float) -> None:
        """Keeps messages whose handlers take longer than the delivery timeout."""
        ids = self._lanes.taken_before(time.monotonic() - interval)
        # Long enough that two lost calls in a row do no harm.
        seconds = max(_LEAST_LEASE_SECONDS, round(interval * 4))
        if ids:
            leases: List[t.LeaseInput] = [
                {"message_id": message_id, "extend_seconds": seconds} for message_id in ids
            ]
            await self.client.extend_leases(leases)

    async def _inbox_loop(self) -> None:
        """Takes as many messages as can be worked on now: what waits here would run into its
        delivery timeout."""
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        # The first poll does not wait: an agent that was paused before should know at once.
        wait_seconds = 0
        while self.running:
            free = await self._until_free()
            asked = time.monotonic()
            try:
                inbox = await self.client.get_inbox(
                    min(free, _MOST_AT_ONCE),
                    wait_seconds=wait_seconds,
                    # A paused agent works on nothing but controls, and listens for its resume.
                    types=["control"] if self.paused else None,
                )
            except Exception as error:
                self._failures += 1
                self._last_error = str(error)
                logger.error("inbox loop failed: %s", error)
                asks = min(retry_after(error), _LONGEST_PAUSE_SECONDS)
                await asyncio.sleep(backoff.next_delay(asks))
                continue
            self._failures, self._last_error = 0, None
            backoff.reset()
            anything_new = await self._take(inbox)
            waited, wait_seconds = wait_seconds > 0, self._wait_seconds
            if anything_new or (not waited and wait_seconds > 0):
                continue
            # A poll that came back early with nothing new was not held open: the relay does not
            # wait, or lists a control that was obeyed long ago.
            early = self.client.poll_interval_seconds - (time.monotonic() - asked)
            await asyncio.sleep(max(0.0, early))

    async def _until_free(self) -> int:
        assert self._slot_freed is not None
        while len(self._lanes) >= self._concurrency:
            self._slot_freed.clear()
            await self._slot_freed.wait()
        return self._concurrency - len(self._lanes)

    async def _take(self, inbox: t.InboxResponse) -> bool:
        """True where the answer held anything that was not known."""
        fresh = self._controls.update(inbox.controls)
        for control in fresh:
            if self._hooks.on_control is not None:
                try:
                    await self._hooks.on_control(control, self)
                except Exception as error:
                    logger.error("on_control raised: %s", error)
        anything_new = bool(fresh)
        # Of a view nothing was handed out: it comes again when the node is not cut off any more.
        if inbox.view_age_ms is not None:
            return anything_new
        for message in inbox.messages:
            # More than was asked for: the delivery timeout brings them again.
            if len(self._lanes) >= self._concurrency:
                break
            offer = self._lanes.offer(message)
            if offer is Offer.NEW_LANE:
                self._add_worker(self._run_lane(message.conversation_id))
            elif offer is Offer.ACK_AGAIN:
                self._add_worker(self._ack_again(message.message_id))
            anything_new = anything_new or offer is not Offer.IN_WORK
        return anything_new

    def _add_worker(self, work: Coroutine[Any, Any, None]) -> None:
        worker = asyncio.create_task(work)
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    # --- the work on messages ----------------------------------------------------------------

    async def _run_lane(self, conversation_id: str) -> None:
        """Works through one conversation's lane until it is empty."""
        while True:
            message = self._lanes.next(conversation_id)
            if message is None:
                return
            # Not begun, so left for the stop to hand back.
            if not self.running:
                continue
            needs_ack = False
            if self.paused and message.message_type != "control":
                reason = "the agent is paused"
                await self._nack([message.message_id], reason, delay_seconds=_PAUSED_DELAY_SECONDS)
            else:
                needs_ack = await self._handle(message)
            self._lanes.finished(message.message_id, needs_ack)
            if self._slot_freed is not None:
                self._slot_freed.set()

    async def _ack_again(self, message_id: str) -> None:
        """Acks a message whose work was done earlier."""
        if await self._ack(message_id):
            self._lanes.acked_late(message_id)

    async def _handle(self, message: t.InboxMessage) -> bool:
        """True if the work is done and the ack did not get through."""
        try:
            await self._call_handler(message)
        except BaseException as error:
            # A stop cancels what it has handed back before. Whatever else ends a handler, also a
            # cancellation of its own, is a failure of this message and of no other.
            if message.message_id not in self._lanes:
                raise
            late = isinstance(error, asyncio.TimeoutError)
            reason = "the handler took too long" if late else str(error) or type(error).__name__
            logger.error("message %s was not handled: %s", message.message_id, reason)
            if message.encryption.status != "none" and not late:
                # What a handler says may repeat what it read: of a body that the relay cannot read,
                # the relay is told no word of it but what kind of error it was.
                reason = f"the handler failed: {type(error).__name__}"
            await self._nack([message.message_id], reason[:_MAX_REASON_CHARS])
            return False
        # Where the adapter stopped meanwhile, it handed the message back.
        return message.message_id in self._lanes and not await self._ack(message.message_id)

    async def _call_handler(self, message: t.InboxMessage) -> None:
        handler = self._hooks.on_message
        if handler is None:
            return
        telemetry = self.client.settings.telemetry or Telemetry()

        async def run() -> None:
            try:
                await handler(message, self)
            except (SystemExit, KeyboardInterrupt) as error:
                # Out of a task these would end the whole event loop.
                raise RuntimeError(f"the handler ended with {error!r}") from error

        with telemetry.attached(read_trace_context(message.metadata)):
            await asyncio.wait_for(run(), self._handler_timeout)

    async def _ack(self, message_id: str) -> bool:
        try:
            await self.client.ack_messages([{"message_id": message_id}])
            return True
        except Exception as error:
            logger.error("an ack did not get through: %s", error)
            return False

    async def _nack(
        self, message_ids: Sequence[str], reason: str, delay_seconds: Optional[int] = None
    ) -> None:
        nacks: List[t.NackInput] = []
        for message_id in message_ids:
            nack: t.NackInput = {"message_id": message_id, "reason": reason}
            if delay_seconds is not None:
                nack["delay_seconds"] = delay_seconds
            nacks.append(nack)
        try:
            await self.client.nack_messages(nacks)
        except Exception as error:
            # The delivery timeout brings the message again all the same.
            logger.error("a nack did not get through: %s", error)
